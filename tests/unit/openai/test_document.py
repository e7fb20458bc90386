"""JSON that readers read differently: refused, or gone from what is sent on. And how much one body may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.errors import InvalidJson, InvalidRequest
from gateway.openai import document, structure
from gateway.openai.structure import (
    LARGE_BYTES,
    MAX_CONTAINERS,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_KEYS,
    MAX_STRINGS,
    MAX_VALUES,
)


def read(body: bytes) -> dict[str, Any]:
    """The whole of what is done to a body that is not a plain one."""
    members = document.decode(body)
    structure.check_shape(members)
    document.check_names(body, document.encode(members))
    return members


def refused(body: bytes, why: str) -> None:
    with pytest.raises(InvalidJson, match=why):
        read(body)


def padded(body: bytes, size: int = LARGE_BYTES + 1) -> bytes:
    """The same document in more bytes."""
    return body[:-1] + b" " * max(0, size - len(body)) + b"}"


NOT_JSON = {
    b"": "empty",
    b" \n": "empty",
    b"{": "not valid JSON",
    b"{}x": "not valid JSON",
    b"{}{}": "not valid JSON",
    b"{'a':1}": "not valid JSON",
    b'{"a":1,}': "not valid JSON",
    b'{"a":01}': "not valid JSON",
    b'{"a":.5}': "not valid JSON",
    b'{"a":+1}': "not valid JSON",
    b'{"a":0x10}': "not valid JSON",
    b'{"a":NaN}': "not valid JSON",
    b'{"a":Infinity}': "not valid JSON",
    b'{"a":-Infinity}': "not valid JSON",
    b'{"a":"\x00"}': "not valid JSON",
    b'{"a":"\n"}': "not valid JSON",
    b'{"a":1}\x00': "not valid JSON",
    b'{"a":"\\x41"}': "not valid JSON",
    b'{/* x */"a":1}': "not valid JSON",
    b"\xef\xbb\xbf{}": "byte order mark",
    '{"a":1}'.encode("utf-16"): "not UTF-8",
    '{"a":1}'.encode("utf-16-be"): "not valid JSON",
    '{"a":1}'.encode("utf-32-le"): "not valid JSON",
    b'{"a":"\xff"}': r"not UTF-8 \(byte 6\)",
    b'{"\xff":1}': "not UTF-8",
    b'{"a":"\xc0\x80"}': "not UTF-8",
    b'{"a":"\xed\xa0\x80"}': "not UTF-8",
    b'{"a":"\xf5\x80\x80\x80"}': "not UTF-8",
}


@pytest.mark.parametrize(("body", "why"), NOT_JSON.items())
def test_what_is_no_json_in_utf_8_is_told_so(body, why) -> None:
    refused(body, why)


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_what_is_no_object_is_told_so(body) -> None:
    with pytest.raises(InvalidRequest, match="expected 'object'"):
        read(body)


SURROGATES = [
    "\\ud800",
    "\\udbff",
    "\\udc00",
    "\\udfff",
    "\\uDC00\\uD800",
    "\\ud800\\ud800",
    "\\ud800x",
    "\\ud83d\\n",
]


@pytest.mark.parametrize("text", SURROGATES)
@pytest.mark.parametrize(
    "form", ['{"a":"%s"}', '{"%s":1}', '{"a":[{"b":"x%sx"}]}', '{"a":"%s and then some more"}']
)
def test_a_lone_surrogate_is_refused_wherever_it_stands(form, text) -> None:
    refused((form % text).encode(), "not valid JSON")


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert read(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


NUMBERS = {
    "1e400": "out of range",
    "-1e400": "out of range",
    "1e999999": "out of range",
    "9007199254740993": "2\\*\\*53",
    "-9007199254740993": "2\\*\\*53",
    "18446744073709551616": "2\\*\\*53",
    "9" * 100: "2\\*\\*53",
    "9" * 5000: "out of range|digits",
}


@pytest.mark.parametrize(("number", "why"), NUMBERS.items(), ids=lambda value: value[:20])
@pytest.mark.parametrize("form", ['{"a":%s}', '{"a":[{"b":[0,%s]}]}'])
def test_a_number_that_engines_could_not_hold_is_refused_however_large_the_body(form, number, why) -> None:
    body = (form % number).encode()
    refused(body, why)
    refused(padded(body, 30_000), why)
    refused(padded(body), why)


@pytest.mark.parametrize(
    "number", ["9007199254740992", "-9007199254740992", "-0", "-0.0", "1e-400", "1e308", "0.1"]
)
def test_a_number_that_can_be_held_is(number) -> None:
    body = b'{"a":%b}' % number.encode()
    for each in (body, padded(body)):
        assert read(each) == json.loads(body)


DUPLICATES = {
    b'{"a":1,"a":2}': "'a' twice",
    b'{"a":1,"a":1}': "'a' twice",
    b'{ "a" : 1 , "a" : 1 }': "'a' twice",
    b'{"a":1,"\\u0061":2}': "'a' twice",
    b'{"\\u0061":1,"a":2}': "'a' twice",
    b'{"x":{"a":1,"a":2}}': "'a' twice",
    b'{"x":[[{"y":{"a":1,"b":2,"a":3}}]]}': "'a' twice",
    b'{"":1,"":2}': "'' twice",
    '{"é":1,"\\u00e9":2}'.encode(): "'é' twice",
    b'{"a":"x","a":"\\u003a"}': "'a' twice",
    b'{"a":1,"a":"\\u003A"}': "'a' twice",
    b'{"a":"\\u003a\\u003a","b":1,"b":"::"}': "'b' twice",
    b'{"a":":","a":"\\u003a\\u003a"}': "'a' twice",
    b'{"x":"\\u003a","a":1,"a":2}': "'a' twice",
    b'{"a:b":1,"a\\u003ab":2}': "'a:b' twice",
    b'{"%b":1,"%b":2}' % (b"k" * 100, b"k" * 100): "twice",
    b'{"x":%b,"x":1}' % (b"[" * 500 + b"]" * 500): "twice",
}


@pytest.mark.parametrize(("body", "why"), DUPLICATES.items(), ids=lambda value: str(value)[:32])
def test_a_name_given_twice_is_refused_at_any_depth(body, why) -> None:
    refused(body, why)


UNIQUE = [
    b'{"a":{"a":{"a":1}}}',
    b'{"a":1,"A":2}',
    b'[{"a":1},{"a":1}]'.join((b'{"x":', b"}")),
    b'{"a":"\\u003a\\u003A:"}',
    b'{"a\\u003a":":"}',
    b'{ "a" : "x" , "b" : 1E2 }',
    b'{"a":"\\u00e9\\/\\u0041"}',
    b'{"a":"\\"a\\":1"}',
]


@pytest.mark.parametrize("body", UNIQUE)
def test_names_that_are_alike_but_not_the_same_pass(body) -> None:
    assert read(body) == json.loads(body)


class Pairs(list):  # type: ignore[type-arg]
    """An object that may have a name twice."""


NAMES = st.text(alphabet='a:"\\é\n', max_size=3)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1e3, 1e3) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Pairs),
    max_leaves=12,
)


def written(value: Any, draw: st.DrawFn | Any) -> str:
    """`value` as JSON, spelled in one of the many ways."""
    if isinstance(value, Pairs):
        gap = draw(st.sampled_from(["", " ", "\n\t"]))
        pairs = (f"{gap}{written(name, draw)}{gap}:{written(each, draw)}{gap}" for name, each in value)
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(each, draw) for each in value) + "]"
    if isinstance(value, str):
        return '"' + "".join(_spelled(character, draw) for character in value) + '"'
    return json.dumps(value)


def _spelled(character: str, draw: Any) -> str:
    plain = json.dumps(character, ensure_ascii=False)[1:-1]
    escaped = f"\\u{ord(character):04x}"
    return draw(st.sampled_from([plain, escaped, escaped.upper().replace("\\U", "\\u")]))


def has_duplicate(value: Any) -> bool:
    if isinstance(value, Pairs):
        names = [name for name, _ in value]
        return len(set(names)) < len(names) or any(has_duplicate(each) for _, each in value)
    return isinstance(value, list) and any(map(has_duplicate, value))


@settings(max_examples=400, deadline=None)
@given(data=st.data(), pairs=st.lists(st.tuples(NAMES, DOCUMENTS), max_size=4).map(Pairs))
def test_duplicates_are_found_in_every_spelling_and_in_nothing_else(data, pairs) -> None:
    text = written(pairs, data.draw)
    if has_duplicate(pairs):
        refused(text.encode(), "twice")
    else:
        assert read(text.encode()) == json.loads(text)


@pytest.mark.parametrize(("opening", "inner", "closing"), [("[", "", "]"), ('{"a":', "1", "}")])
@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 500, 5_000, 100_000])
def test_depth_is_bounded(opening, inner, closing, depth) -> None:
    body = ('{"x":' + opening * (depth - 1) + inner + closing * (depth - 1) + "}").encode()
    if depth == MAX_DEPTH:
        assert read(body) == json.loads(body)
    else:
        refused(body, "deeply|keys|arrays")
        refused(padded(body), "deeply|keys|arrays")


def many(one: str, count: int) -> bytes:
    return ('{"x":[' + ",".join([one] * count) + "]}").encode()


def test_keys_are_bounded() -> None:
    one_object = '{"a":1,"b":2,"c":3,"d":4}'
    assert read(many(one_object, (MAX_KEYS - 1) // 4))
    refused(many(one_object, MAX_KEYS // 4), "keys")
    wide = json.dumps({f"k{index}": 0 for index in range(MAX_KEYS)})
    assert len(read(wide.encode())) == MAX_KEYS
    refused((wide[:-1] + ',"y":0}').encode(), "keys")


def test_colons_in_text_are_no_keys() -> None:
    assert read(json.dumps({"a": ':"\\:' * 20_000}).encode())
    assert read(json.dumps({"a": ':,[]{}"\\' * 400_000}).encode())


def test_containers_are_bounded() -> None:
    assert read(many("[]", MAX_CONTAINERS - 2))
    refused(many("[]", MAX_CONTAINERS), "arrays and objects")
    refused(many("{}", 2_000_000), "arrays and objects")


def test_values_are_bounded() -> None:
    assert read(many("1", MAX_VALUES - 3))
    refused(many("1", MAX_VALUES + 1), "values")


def test_texts_are_bounded() -> None:
    assert read(many('"é"', MAX_STRINGS - 1))
    refused(many('"é"', MAX_STRINGS), "texts")
    refused(many('""', 2_500_000), "texts")


def test_digits_are_bounded() -> None:
    large = padded(b'{"x":"' + b"1" * 3 * MAX_DIGITS + b'"}')
    assert read(large)
    for number in (b"1" * (MAX_DIGITS + 1), b"0." + b"1" * (MAX_DIGITS + 1), b"1e" + b"1" * (MAX_DIGITS + 1)):
        refused(large[:-1] + b',"y":%b}' % number, "digits")


@settings(max_examples=200, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(['"', "\\", "\\\\", '\\"', "a", ":", "[", "{", ",", "1", "é", "\\u0022"])
    ),
    window=st.integers(1, 7),
)
@example(pieces=['"', "\\\\", '"', ":"], window=9)
@example(pieces=['"', "\\\\", "\\\\", '"', ":"], window=2)
@example(pieces=['"', "\\", '"', ":", '"', ","], window=2)
def test_what_stands_in_strings_is_not_counted_however_windows_fall(pieces, window) -> None:
    """The tally against a reader that goes byte by byte."""
    text = "".join(pieces).encode()
    tally = structure._Tally()
    for start in range(0, len(text), window):
        tally.add(text[start : start + window])
    found = (tally._keys, tally._containers, tally._separators)
    assert found == by_hand(text)


def by_hand(text: bytes) -> tuple[int, int, int]:
    outside, in_string, at = [], False, 0
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"\\" and text[at + 1 : at + 2] in {b"\\", b'"'}:
            at += 1
        elif byte == b'"':
            in_string = not in_string
        elif not in_string:
            outside.append(byte)
        at += 1
    return (
        outside.count(b":"),
        outside.count(b"[") + outside.count(b"{"),
        outside.count(b","),
    )


@pytest.mark.parametrize(
    "value", [0.1, 1e22, 1e23, 5e-324, 1.7976931348623157e308, -2.5e-8, 123456789.123456789]
)
def test_floats_are_the_same_by_both_readers_and_after_writing(value) -> None:
    body = json.dumps({"x": value}).encode()
    for each in (body, padded(body)):
        members = read(each)
        assert members == {"x": value}
        assert json.loads(document.encode(members)) == {"x": value}
