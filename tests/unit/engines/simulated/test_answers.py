import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.simulated import asks, wording
from engines.simulated.answers import Answer, compose
from engines.simulated.instances import GrammarError, minimal_text
from engines.simulated.options import Options
from engines.simulated.script import Script

TEXT = "the quick brown fox jumps over the lazy dog"


def answer(script: Script | None = None, index: int = 0, **fields: Any) -> Answer:
    body = {"messages": [{"role": "user", "content": TEXT}], **fields}
    return compose(asks.read_chat(body, Options()), script or Script(), index, 1000)


def test_the_same_prompt_gives_the_same_answer_and_another_seed_another():
    assert answer().text == answer().text
    assert answer(seed=1).text != answer().text
    assert answer(Script(seed=1)).text == answer(seed=1).text


def test_the_choices_of_one_request_differ():
    fields = {"n": 2, "temperature": 1}
    assert answer(index=0, **fields).text != answer(index=1, **fields).text


def test_an_answer_says_the_words_of_the_prompt_again():
    assert answer(Script(tokens=3)).text == "the quick brown"


def test_an_answer_ends_with_an_end_token_unless_cut_off():
    whole = answer(Script(tokens=3), max_tokens=10)
    assert (whole.pieces[-1], len(whole.pieces), whole.finish_reason) == ("", 4, "stop")
    cut = answer(Script(tokens=30), max_tokens=10)
    assert (len(cut.pieces), cut.finish_reason) == (10, "length")
    long = answer(Script(tokens=3), max_tokens=50, ignore_eos=True)
    assert (len(long.pieces), long.finish_reason) == (50, "length")


def test_the_share_of_words_that_are_not_ascii():
    pieces = answer(Script(tokens=40, multibyte=0.5)).pieces
    assert sum(not piece.isascii() for piece in pieces) == 20


@given(st.lists(st.sampled_from(["the", "own f", "x", " ", "ump", "dog", "zzz"]), min_size=1, max_size=3))
def test_the_deltas_never_show_a_stop_string_and_join_to_the_text_before_it(stop: list[str]):
    plain = answer(Script(tokens=9)).text
    stopped = answer(Script(tokens=9), stop=stop, max_tokens=100)
    hits = [plain.find(s) for s in stop if s in plain]
    expected = plain[: min(hits)] if hits else plain
    assert stopped.text == expected
    assert len(stopped.deltas) == len(stopped.pieces)
    assert (stopped.stop_reason in stop) is bool(hits)


def test_a_text_that_may_begin_a_stop_string_is_held_back():
    made = answer(Script(tokens=9), stop=["brown fox"], max_tokens=100)
    shown = ""
    for delta, piece in zip(made.deltas, made.pieces, strict=True):
        shown += delta
        assert "brown" not in shown, piece
    assert shown == "the quick "


def test_tools_are_called_until_there_is_a_result():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert answer(tools=tools).tool is not None
    assert answer(tools=tools, tool_choice="none").tool is None
    told = [{"role": "user", "content": TEXT}, {"role": "tool", "content": "4", "tool_call_id": "x"}]
    assert answer(tools=tools, messages=told).tool is None


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
        {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 2},
        {"type": "string", "minLength": 4, "maxLength": 6},
        {"type": "number", "exclusiveMinimum": 2, "multipleOf": 0.5},
        {"type": "integer", "maximum": -5},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"allOf": [{"$ref": "#/$defs/p"}, {"required": ["b"], "properties": {"b": {"const": 1}}}],
         "$defs": {"p": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}}},
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": ["null", "string"]}}},
    ],
)  # fmt: skip
def test_the_smallest_instance_is_valid(schema: dict[str, Any]):
    jsonschema.validate(json.loads(minimal_text(schema, text="hello")), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "#/$defs/none"},
        {"$ref": "#/$defs/n", "$defs": {"n": {"$ref": "#/$defs/n"}}},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
    ],
)
def test_a_schema_without_instance_is_refused(schema: dict[str, Any]):
    with pytest.raises(GrammarError):
        minimal_text(schema)


@given(st.text(max_size=200))
def test_the_tokens_of_a_text_are_the_text_and_as_many_as_counted(text: str):
    pieces = wording.split_tokens(text)
    assert "".join(pieces) == text
    assert max(1, len(pieces)) == wording.count_tokens(text)
