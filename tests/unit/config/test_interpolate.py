import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.interpolate import BadReference, UnsetVariable, escape, interpolate


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$5 and $HOME", "$5 and $HOME"),
        ("${A}", "1"),
        ("x${A}y${B}", "x1y2"),
        ("${C:-d}", "d"),
        ("${C:-}", ""),
        ("${EMPTY:-d}", "d"),
        ("${A:-d}", "1"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("${C:-a:-b}", "a:-b"),
        ("${REFERS}", "${A}"),
    ],
)
def test_references_are_replaced_once(text, result):
    assert interpolate(text, {"A": "1", "B": "2", "EMPTY": "", "REFERS": "${A}"}) == result


def test_a_variable_that_is_empty_or_missing_is_unset():
    for environ in ({}, {"A": ""}):
        with pytest.raises(UnsetVariable) as unset:
            interpolate("${A}", environ)
        assert unset.value.name == "A"


@pytest.mark.parametrize("text", ["${}", "${1A}", "${A", "${A-b}", "${A:=b}"])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(BadReference):
        interpolate(text, {"A": "1"})


@given(st.text(alphabet="$${}A:- ", max_size=12))
def test_escaped_text_comes_back_unchanged(text):
    assert interpolate(escape(text), {}) == text
