"""Which fields pass, which are refused or left out, and the caps on those that pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from config.schema import Config
from gateway import app
from gateway.core.call import Operation
from gateway.core.errors import FieldNotAllowed, InvalidRequest
from gateway.openai.envelope import Reader
from gateway.openai.fields import SHAPES
from gateway.openai.operations import CHAT, COMPLETIONS, OPERATIONS
from gateway.openai.privileges import PRIVILEGED, TEMPLATE_SWITCHES, privileged
from gateway.openai.rules import DEFAULT_CAPS, Caps, Rules, Treatment

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
TEXT: dict[str, Any] = {"model": "m", "prompt": "x"}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
STRIPS = Rules(privileged=Treatment.STRIP)
KEY = "abcdef012345"
DEFAULT = Rules()


def read(
    body: dict[str, Any], rules: Rules = DEFAULT, operation: Operation | None = None
) -> tuple[Any, bytes]:
    """What goes upstream, and what the header says."""
    operation = operation or (COMPLETIONS if "prompt" in body else CHAT)
    found = Reader(rules).read(operation, json.dumps(body).encode(), KEY)
    return json.loads(found.body), found.stripped


def refusal(body: dict[str, Any], rules: Rules = DEFAULT) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read(body, rules)
    return caught.value


# --- privileged and unknown fields


@pytest.mark.parametrize("name", sorted(PRIVILEGED))
@pytest.mark.parametrize("base", [BODY, TEXT], ids=["chat", "completions"])
@pytest.mark.parametrize("value", [1, None, "x", {"a": [1]}], ids=str)
def test_a_privileged_field_is_refused_left_out_or_passed_as_the_operator_says(base, name, value) -> None:
    body = {**base, name: value}
    refused = refusal(body)
    assert isinstance(refused, FieldNotAllowed)
    assert refused.param == name
    assert "operator" in refused.message
    assert read(body, STRIPS) == (base, name.encode())
    assert read(body, Rules(allowed=frozenset({name}))) == (body, b"")
    everything = Rules(unknown=Treatment.PASS)
    assert isinstance(refusal(body, everything), FieldNotAllowed)


def test_echo_is_privileged_in_a_chat_and_everyday_in_a_completion() -> None:
    assert refusal({**BODY, "echo": True}).param == "echo"
    assert read({**TEXT, "echo": True})[0]["echo"] is True


def test_every_field_is_in_one_table_only() -> None:
    for operation in OPERATIONS.values():
        assert not set(SHAPES[operation.name].__struct_fields__) & privileged(operation.name).keys()


UNKNOWN = [
    "vendor",
    "lora",
    "api_base",
    "user_config",
    "Model",
    "model ",
    "",
    "é",
    "messages[0]",
    "__class__",
]


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_field_is_left_out_refused_or_passed_as_the_operator_says(name) -> None:
    body = {**BODY, name: {"a": [None]}}
    kept, _ = read(body)
    assert kept == BODY
    refused = refusal(body, Rules(unknown=Treatment.REFUSE))
    assert isinstance(refused, FieldNotAllowed)
    assert refused.param == name
    assert read(body, Rules(unknown=Treatment.PASS)) == (body, b"")
    assert read(body, Rules(allowed=frozenset({name}))) == (body, b"")


@pytest.mark.parametrize("value", [1.5, True, "x", [1], {"a": {}}, None], ids=str)
def test_a_field_of_the_other_operation_has_any_type_where_unknown_fields_pass(value) -> None:
    rules = Rules(unknown=Treatment.PASS, caps=Caps(max_tokens=5, messages=1, tools=1))
    others = [
        "messages",
        "tools",
        "functions",
        "max_completion_tokens",
        "top_logprobs",
        "chat_template_kwargs",
    ]
    body = {**TEXT, "max_tokens": 1, **dict.fromkeys(others, value), "guided_x": value}
    if value != {"a": {}}:
        assert read(body, rules) == (body, b"")
    body = {**BODY, "max_tokens": 1, "prompt": value, "suffix": value}
    assert read(body, rules, CHAT) == (body, b"")


def test_what_was_left_out_is_named_as_far_as_a_header_can_name_it() -> None:
    names = ["b", "a-1.x", "x y", "é", "", "l" * 64, "l" * 65, "new\r\nline", "comma,"]
    assert read({**BODY, **dict.fromkeys(names, 1)})[1] == b"a-1.x, b, " + b"l" * 64
    many = {f"f{index:03}": 1 for index in range(40)}
    assert read({**BODY, **many})[1].split(b", ") == [b"f%03d" % index for index in range(16)]


def test_switches_of_a_template_pass_and_its_variables_do_not() -> None:
    switches = {"enable_thinking": False, "thinking": True, "thinking_budget": 100, "reasoning_effort": "low"}
    assert switches.keys() <= TEMPLATE_SWITCHES
    body = {**BODY, "chat_template_kwargs": switches}
    assert read(body) == (body, b"")
    for wrong in (
        {"chat_template": "{{ x }}"},
        {"tools": []},
        {"enable_thinking": {"a": 1}},
        {"enable_thinking": ["x"]},
        {"enable_thinking": 0.5},
        {"reasoning_effort": "x" * 65},
        {"documents": None},
        {"": 1},
    ):
        (name,) = wrong
        mixed = {**BODY, "chat_template_kwargs": {**switches, **wrong}}
        refused = refusal(mixed)
        assert isinstance(refused, FieldNotAllowed)
        assert refused.param == f"chat_template_kwargs.{name}"
        left = {key: value for key, value in switches.items() if key != name}
        kept, stripped = read(mixed, STRIPS)
        assert kept == {**BODY, "chat_template_kwargs": left}
        assert stripped == f"chat_template_kwargs.{name}".encode()
        for allowed in ("chat_template_kwargs", f"chat_template_kwargs.{name}"):
            assert read(mixed, Rules(allowed=frozenset({allowed}))) == (mixed, b"")


# --- types and ranges

IN_RANGE: list[dict[str, Any]] = [
    {"temperature": 0},
    {"temperature": 2},
    {"top_p": 0.001},
    {"top_p": 1},
    {"presence_penalty": -2},
    {"frequency_penalty": 2},
    {"repetition_penalty": 1.1},
    {"length_penalty": -1},
    {"min_p": 0},
    {"top_k": -1},
    {"top_k": 0},
    {"seed": -1},
    {"seed": 2**53},
    {"min_tokens": 5, "max_tokens": 5},
    {"truncate_prompt_tokens": -1},
    {"thinking_token_budget": 100},
    {"logit_bias": {"50256": -100, "7": 100}},
    {"bad_words": ["x"]},
    {"stop_token_ids": [0, 2**31 - 1]},
    {"truncation_side": "left"},
    {"response_format": {"type": "json_object"}},
]
OUT_OF_RANGE: list[tuple[dict[str, Any], str]] = [
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": 1e308}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.01}, "top_p"),
    ({"presence_penalty": 2.5}, "presence_penalty"),
    ({"frequency_penalty": -2.5}, "frequency_penalty"),
    ({"repetition_penalty": 0}, "repetition_penalty"),
    ({"repetition_penalty": 1e300}, "repetition_penalty"),
    ({"length_penalty": 1e9}, "length_penalty"),
    ({"min_p": 1.5}, "min_p"),
    ({"top_k": -2}, "top_k"),
    ({"top_k": 2.5}, "top_k"),
    ({"n": 0}, "n"),
    ({"n": True}, "n"),
    ({"n": 1.0}, "n"),
    ({"n": "1"}, "n"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"min_tokens": -1}, "min_tokens"),
    ({"min_tokens": 6, "max_tokens": 5}, "min_tokens"),
    ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
    ({"stop_token_ids": [2**31]}, "stop_token_ids[0]"),
    ({"stop_token_ids": ["1"]}, "stop_token_ids[0]"),
    ({"allowed_token_ids": [1.5]}, "allowed_token_ids[0]"),
    ({"bad_words": [""]}, "bad_words[0]"),
    ({"bad_words": ["x" * 257]}, "bad_words[0]"),
    ({"prompt_logprobs": -1}, "prompt_logprobs"),
    ({"logit_bias": {"5": 101}}, "logit_bias[...]"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"-5": 1}}, "logit_bias"),
    ({"logit_bias": {"٣": 1}}, "logit_bias"),
    ({"logit_bias": {"99999999999": 1}}, "logit_bias"),
    ({"truncation_side": "middle"}, "truncation_side"),
    ({"structured_outputs": {"backend": "x"}}, "structured_outputs"),
    ({"structured_outputs": {"json": 5}}, "structured_outputs.json"),
    ({"ignore_eos": 1}, "ignore_eos"),
    ({"service_tier": "x" * 257}, "service_tier"),
]


@pytest.mark.parametrize("fields", IN_RANGE, ids=str)
@pytest.mark.parametrize("base", [BODY, TEXT], ids=["chat", "completions"])
def test_values_in_the_range_of_engines_pass(base, fields) -> None:
    assert read({**base, **fields}) == ({**base, **fields}, b"")


@pytest.mark.parametrize(("fields", "param"), OUT_OF_RANGE, ids=str)
@pytest.mark.parametrize("base", [BODY, TEXT], ids=["chat", "completions"])
def test_values_out_of_it_are_refused_by_name(base, fields, param) -> None:
    assert refusal({**base, **fields}).param == param


WRONG_CHATS: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "User", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": {"type": "text"}}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [["x"]]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "prompt_embeds"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": None}]}]}, "messages[0].content[0].type"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]},
        "messages[0].content[0].text",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    ({"messages": [{"role": "assistant", "tool_calls": ["x"]}]}, "messages[0].tool_calls[0]"),
    ({"messages": [None]}, "messages[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "a\n"}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "é"}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "x" * 65}}]}, "tools[0].function.name"),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": "x"}}]},
        "tools[0].function.parameters",
    ),
    ({"tools": [{"type": "shell", "function": {"name": "f"}}]}, "tools[0].type"),
    ({"functions": [{"name": "a b"}]}, "functions[0].name"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"min_tokens": 6, "max_completion_tokens": 5, "max_tokens": 50}, "min_tokens"),
    ({"top_logprobs": -1, "logprobs": True}, "top_logprobs"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG_CHATS, ids=lambda value: str(value)[:60])
def test_messages_and_tools_of_the_wrong_form_are_refused_by_name(fields, param) -> None:
    assert refusal({**BODY, **fields}).param == param


# --- caps

AT_THE_CAP: list[tuple[str, Any, Any, str]] = [
    ("n", 8, 9, "8"),
    ("best_of", 8, 9, "8"),
    ("prompt_logprobs", 20, 21, "20"),
    ("stop", ["x"] * 4, ["x"] * 5, "4"),
    ("stop", ["x" * 256], ["x" * 257], "256"),
    ("stop", "x" * 256, "x" * 257, "256"),
    ("logit_bias", {str(i): 1.0 for i in range(300)}, {str(i): 1.0 for i in range(301)}, "300"),
    ("stop_token_ids", [1] * 1024, [1] * 1025, "1024"),
    ("allowed_token_ids", [1] * 1024, [1] * 1025, "1024"),
    ("logprob_token_ids", [1] * 1024, [1] * 1025, "1024"),
    ("bad_words", ["x"] * 128, ["x"] * 129, "128"),
]


@pytest.mark.parametrize(("name", "most", "more", "cap"), AT_THE_CAP, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("base", [BODY, TEXT], ids=["chat", "completions"])
def test_the_cap_is_allowed_and_more_is_refused_naming_field_and_cap(base, name, most, more, cap) -> None:
    assert read({**base, name: most})[0][name] == most
    refused = refusal({**base, name: more})
    assert refused.param == name
    assert cap in refused.message


def test_messages_tools_and_alternatives_are_capped() -> None:
    message = BODY["messages"][0]
    for fields, param in (
        ({"messages": [message] * 4097}, "messages"),
        ({"tools": [TOOL] * 513}, "tools"),
        ({"functions": [TOOL["function"]] * 513}, "functions"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ):
        assert refusal({**BODY, **fields}).param == param
    read({**BODY, "messages": [message] * 4096})
    read({**BODY, "tools": [TOOL] * 512, "logprobs": True, "top_logprobs": 20})
    assert refusal({**TEXT, "logprobs": 21}).param == "logprobs"
    read({**TEXT, "logprobs": 20})


def test_of_caps_for_all_for_a_model_and_for_a_key_the_strictest_counts() -> None:
    rules = Rules(
        caps=Caps(n=4, stop=2),
        model_caps={"m": Caps(n=3, stop=4), "other": Caps(n=1)},
        key_caps={KEY: Caps(stop=1, messages=2), "another": Caps(n=1)},
    )
    assert read({**BODY, "n": 3, "stop": ["a"]}, rules)
    for fields, param, cap in (
        ({"n": 4}, "n", "3"),
        ({"stop": ["a", "b"]}, "stop", "1"),
        ({"messages": BODY["messages"] * 3}, "messages", "2"),
        ({"model": "other", "n": 2}, "n", "1"),
    ):
        refused = refusal({**BODY, **fields}, rules)
        assert refused.param == param
        assert f"at most {cap} " in refused.message
    assert read({**BODY, "model": "third", "n": 4}, rules)


@pytest.mark.parametrize(
    ("low", "fields"),
    [
        (Caps(n=1), {"n": 2}),
        (Caps(stop=1), {"stop": ["a", "b"]}),
        (Caps(stop_characters=3), {"stop": "abcd"}),
        (Caps(messages=1), {"messages": BODY["messages"] * 2}),
        (Caps(max_tokens=5), {"max_tokens": 6}),
        (Caps(stop=0), {"stop": "x"}),
    ],
    ids=str,
)
def test_a_low_cap_holds_for_the_plainest_request_too(low, fields) -> None:
    for rules in (Rules(caps=low), Rules(model_caps={"m": low}), Rules(key_caps={KEY: low})):
        assert refusal({**BODY, **fields}, rules).param == next(iter(fields))


TOKENS: list[tuple[dict[str, Any], str | None]] = [
    ({"max_tokens": 100}, None),
    ({"max_tokens": 101}, "max_tokens"),
    ({"max_tokens": 50, "n": 2}, None),
    ({"max_tokens": 51, "n": 2}, "max_tokens"),
    ({"max_tokens": 30, "n": 1, "best_of": 4}, "max_tokens"),
]


@pytest.mark.parametrize(("fields", "param"), TOKENS, ids=str)
@pytest.mark.parametrize("base", [BODY, TEXT], ids=["chat", "completions"])
def test_a_cap_on_tokens_is_on_those_of_all_answers_together(base, fields, param) -> None:
    rules = Rules(caps=Caps(max_tokens=100))
    if param is None:
        assert read({**base, **fields}, rules) == ({**base, **fields}, b"")
    else:
        refused = refusal({**base, **fields}, rules)
        assert refused.param == param
        assert "100" in refused.message


def test_of_two_limits_in_a_chat_the_newer_one_counts_as_it_does_for_the_engine() -> None:
    rules = Rules(caps=Caps(max_tokens=100))
    read({**BODY, "max_completion_tokens": 100, "max_tokens": 500}, rules)
    assert (
        refusal({**BODY, "max_completion_tokens": 101, "max_tokens": 5}, rules).param
        == "max_completion_tokens"
    )


def test_who_names_no_limit_gets_the_capped_one() -> None:
    rules = Rules(caps=Caps(max_tokens=100))
    assert read(BODY, rules)[0] == {**BODY, "max_tokens": 100}
    assert read({**BODY, "n": 3, "max_tokens": None}, rules)[0]["max_tokens"] == 33
    assert read({**TEXT, "n": 3}, rules)[0]["max_tokens"] == 16
    assert read({**TEXT, "n": 10}, rules)[0]["max_tokens"] == 10
    assert read({**TEXT, "n": 200}, rules)[0]["max_tokens"] == 1
    assert "max_tokens" not in read(BODY)[0]


def test_no_cap_is_no_cap() -> None:
    rules = Rules(caps=Caps())
    read({**BODY, "n": 1000, "stop": ["x" * 1000] * 50, "messages": BODY["messages"] * 4900}, rules)
    read({**TEXT, "prompt": ["x"] * 2000, "logprobs": 1000}, rules)


def test_the_configurations_defaults_are_the_gateways() -> None:
    assert app.rules_of(Config()) == Rules()
    assert DEFAULT_CAPS._fields == tuple(
        name for name in type(Config().caps).model_fields if name not in {"models", "keys"}
    )
