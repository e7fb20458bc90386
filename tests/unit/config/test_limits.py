"""Limits in the configuration: numbers or `unlimited`, and a word for what is neither."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.schema import Config


@pytest.mark.parametrize("value", [1, 10**15, "unlimited"])
def test_an_amount_is_a_number_or_unlimited(value) -> None:
    config = Config.model_validate({"limits": {"teams": {"a b": {"tokens_per_day": value}}}})
    assert config.limits.teams["a b"].tokens_per_day == value


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "10", "none", 10**16])
def test_anything_else_is_refused_at_its_place(value) -> None:
    with pytest.raises(ValidationError, match=r"whole number from 1 to .*, or unlimited") as caught:
        Config.model_validate({"limits": {"default": {"key": {"requests_per_minute": value}}}})
    assert [error["loc"] for error in caught.value.errors()] == [
        ("limits", "default", "key", "requests_per_minute")
    ]


@pytest.mark.parametrize("value", [0, -0.5, True, "5", float("nan"), float("inf")])
def test_money_is_a_number_above_nothing(value) -> None:
    with pytest.raises(ValidationError, match="a number above 0"):
        Config.model_validate({"limits": {"users": {"u": {"cost_per_day": value}}}})


@pytest.mark.parametrize("name", ["", "a\n", "x" * 257])
def test_a_party_has_a_name_that_can_be_read(name) -> None:
    with pytest.raises(ValidationError, match="printable characters"):
        Config.model_validate({"limits": {"users": {name: {"requests_per_minute": 1}}}})
