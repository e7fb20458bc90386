"""Exactly one credential, as a bearer token."""

from __future__ import annotations

import pytest

from gateway.auth.credential import bearer
from gateway.core.errors import InvalidRequest, Unauthenticated


@pytest.mark.parametrize("value", [b"Bearer abc", b"bearer abc", b"BEARER abc"])
def test_the_scheme_has_no_case(value) -> None:
    assert bearer(value, None) == b"abc"


@pytest.mark.parametrize(
    "value", [b"", b"Bearer", b"Bearer ", b"Basic abc", b"abc", b" Bearer abc", b"Bearer\tabc"]
)
def test_what_is_no_bearer_token(value) -> None:
    with pytest.raises(Unauthenticated):
        bearer(value, None)


def test_the_token_is_all_the_rest() -> None:
    assert bearer(b"Bearer a b ", None) == b"a b "


@pytest.mark.parametrize("value", [b"Bearer a", b"Bearer b", b"Basic x"])
def test_a_second_one_is_refused_whatever_it_is(value) -> None:
    with pytest.raises(InvalidRequest):
        bearer(value, b"a")
