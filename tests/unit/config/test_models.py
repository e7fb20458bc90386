"""Splits and fallbacks in the configuration: what does not go together is refused at its place."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from config.schema import Config
from gateway.app.routes import routes_of


@pytest.mark.parametrize("weight", [-1, 100.5, float("nan"), "5", True])
def test_a_weight_is_a_number_from_0_to_100(weight) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"models": {"chat": {"split": {"a": weight, "b": 1}}}})
    assert {error["loc"][:4] for error in caught.value.errors()} == {("models", "chat", "split", "a")}


@pytest.mark.parametrize(
    ("models", "below", "says"),
    [
        ({"chat": {"split": {"a": 0}}}, ("chat", "split"), "are 0"),
        (
            {"chat": {"split": {"a": 1}}, "a": {"split": {"b": 1}}},
            ("chat", "split", "a"),
            "a split of its own",
        ),
        ({"chat": {"fallbacks": ["chat"]}}, ("chat", "fallbacks", 0), "its own fallback"),
        ({"chat": {"fallbacks": ["a", "b", "a"]}}, ("chat", "fallbacks", 2), "twice"),
        ({"chat": {"split": {"a": 1}, "fallbacks": ["a"]}}, ("chat", "fallbacks", 0), "already"),
    ],
)
def test_what_goes_round_in_a_circle_or_nowhere_is_refused(
    models: dict[str, Any], below: tuple[object, ...], says: str
) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        Config.model_validate({"models": models})
    (error,) = caught.value.errors()
    assert error["ctx"]["below"] == below


@pytest.mark.parametrize("name", ["Authorization", "x-request-id", "a b", "", "x-cascadia-fallback"])
def test_a_session_header_is_none_that_means_something_else(name) -> None:
    with pytest.raises(ValidationError, match="means nothing else"):
        Config.model_validate({"admission": {"session_header": name}})


def test_what_is_written_is_what_the_catalog_gets() -> None:
    config = Config.model_validate(
        {
            "models": {"chat": {"split": {"chat": 95, "next": 5}, "fallbacks": ["small"]}},
            "admission": {"session_header": "X-Session-Id"},
        }
    )
    route = routes_of(config).get("chat")
    assert route is not None
    assert [(share.model, share.weight) for share in route.shares] == [("chat", 95), ("next", 5)]
    assert (route.fallbacks, route.on_context_length) == (("small",), False)
    assert config.admission.session_header == "x-session-id"
