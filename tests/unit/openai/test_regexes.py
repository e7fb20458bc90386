"""Regular expressions for an engine: what multiplies is refused, what is everyday passes."""

from __future__ import annotations

import pytest

from gateway.core.errors import InvalidRequest
from gateway.openai.regexes import DEEPEST, LONGEST, check_regex

EVERYDAY = [
    "",
    "abc",
    r"\d{4}-\d{2}-\d{2}",
    r"^[a-z0-9_-]{3,16}$",
    r"(yes|no|maybe)",
    r"^\+?[1-9]\d{1,14}$",
    r"([a-z]+,)+",
    r"(\w+\.)+\w+",
    r"(?:a+b)*",
    r"(a|b)*",
    r"(ab)+",
    r"(ab)+?",
    r"a*b*c*",
    r"(a?)b+",
    r"[(]+",
    r"[]a]+",
    r"[^]]+",
    r"[\]]+",
    r"\(+",
    r"a{",
    r"a{,",
    r"x{2,}y",
    r"(?P<year>\d+)-(?P<month>\d+)",
    r"(?<year>\d+)",
    r"(?=.*\d)(?=.*[a-z]).{8,64}",
    r"(?!\.)(?<!x)a+",
    r"(?i:abc)+",
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$",
    r"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000)$",
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$",
    r"^((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.?\b){4}$",
    "日本{2,3}",
]


@pytest.mark.parametrize("pattern", EVERYDAY)
def test_an_everyday_expression_passes(pattern) -> None:
    check_regex(pattern, "x")


NESTED = [
    r"(a+)+",
    r"(a+)+$",
    r"(a*)*",
    r"(a+)*",
    r"(?:a+)+",
    r"(?P<x>a+)+",
    r"((a+))+",
    r"((a+)+b)+",
    r"(a+|b)+",
    r"(b|a*)+",
    r"(a*b*)+",
    r"(a?b*)+",
    r"(a+){2,}",
    r"(^a+)+",
    r"(a+$)+",
    r"(\ba+)+",
    r"([a-z]+)*",
    r"(\d+)+x",
    r"((?=b)a+)+",
    r"(a+)+?",
    r"((ab)+)+",
    r"((a+b)?)+",
    r"x(y(z+)*)w",
]


@pytest.mark.parametrize("pattern", NESTED)
def test_a_repeat_without_bound_around_nothing_but_such_repeats_is_refused(pattern) -> None:
    with pytest.raises(InvalidRequest, match="stands inside another") as refusal:
        check_regex(pattern, "guided_regex")
    assert refusal.value.param == "guided_regex"


LARGE = [
    r"a{10001}",
    r"(a{1000}){1000}",
    r"((a{30}){30}){30}",
    r"(a{101,}){100}",
    r"(abc{1000}){11}",
    r"a{999999999}",
]


@pytest.mark.parametrize("pattern", LARGE)
def test_repeats_that_multiply_to_many_states_are_refused(pattern) -> None:
    with pytest.raises(InvalidRequest, match="states"):
        check_regex(pattern, "x")


@pytest.mark.parametrize("pattern", ["(", ")", "(a", "a)", "((a)", "[(](", "*", "+a", "(*)", "|*", "a**b)"])
def test_what_cannot_be_read_is_refused(pattern) -> None:
    with pytest.raises(InvalidRequest):
        check_regex(pattern, "x")


def test_length_and_depth_are_bounded() -> None:
    check_regex("a" * LONGEST, "x")
    check_regex("(" * DEEPEST + "a" + ")" * DEEPEST, "x")
    with pytest.raises(InvalidRequest, match="1024"):
        check_regex("a" * (LONGEST + 1), "x")
    with pytest.raises(InvalidRequest, match="deep"):
        check_regex("(" * (DEEPEST + 1) + "a" + ")" * (DEEPEST + 1), "x")
