"""Answers that are not streamed: keys in order, usage, ends."""

import json

import pytest

from tests.contract.engine.exchange import CHAT, COMPLETIONS, QUESTION, TOOLS, Engine

ANSWER = [
    "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage", "prompt_logprobs",
    "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params", "metrics",
]  # fmt: skip
CHOICE = ["index", "message", "logprobs", "finish_reason", "stop_reason", "token_ids", "routed_experts"]
MESSAGE = ["role", "content", "refusal", "annotations", "audio", "function_call", "reasoning"]
USAGE = [
    "prompt_tokens",
    "total_tokens",
    "completion_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
]
COMPLETION = [
    "id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage",
    "kv_transfer_params", "ec_transfer_params", "metrics",
]  # fmt: skip
COMPLETION_CHOICE = [
    "index", "text", "logprobs", "finish_reason", "stop_reason", "token_ids", "prompt_logprobs", "prompt_token_ids",
    "routed_experts",
]  # fmt: skip


def test_a_chat_answer_has_these_keys_in_this_order(engine: Engine):
    answer = engine.chat(max_tokens=5).json
    assert list(answer) == ANSWER
    assert list(answer["choices"][0]) == CHOICE
    assert list(answer["choices"][0]["message"]) == MESSAGE
    assert list(answer["usage"]) == USAGE
    assert answer["object"] == "chat.completion"


def test_a_completion_has_these_keys_in_this_order(engine: Engine):
    answer = engine.complete(max_tokens=2).json
    assert list(answer) == COMPLETION
    assert list(answer["choices"][0]) == COMPLETION_CHOICE
    assert list(answer["usage"]) == USAGE
    assert answer["object"] == "text_completion"


def test_a_json_reply_has_these_headers_in_this_order(engine: Engine):
    reply = engine.chat(max_tokens=1)
    assert reply.names == ["date", "server", "content-length", "content-type", "vary", "connection"]
    assert (reply.header("server"), reply.header("vary")) == ("uvicorn", "Origin")
    assert reply.header("content-type") == "application/json"


@pytest.mark.parametrize(("path", "prefix"), [(CHAT, "chatcmpl"), (COMPLETIONS, "cmpl")])
def test_the_request_id_becomes_the_answers_id(engine: Engine, path: str, prefix: str):
    body = {"model": engine.model, "messages": QUESTION, "prompt": "Hi", "max_tokens": 1}
    answer = engine.ask("POST", path, body, headers={"x-request-id": "caller-7"}).json
    assert answer["id"] == f"{prefix}-caller-7"


def test_an_answer_without_request_id_gets_sixteen_hex_digits(engine: Engine):
    prefix, _, rest = engine.chat(max_tokens=1).json["id"].partition("-")
    assert prefix == "chatcmpl"
    assert len(rest) == 16
    int(rest, 16)


@pytest.mark.parametrize("asked", [0, 1, None])
def test_it_calls_itself_by_its_first_name_whatever_it_was_called(engine: Engine, asked: int | None):
    name = None if asked is None else engine.running.names[asked]
    assert engine.chat(model=name, max_tokens=1).json["model"] == engine.running.names[0]


@pytest.mark.parametrize("bound", ["max_tokens", "max_completion_tokens"])
def test_a_token_bound_ends_with_length_and_is_the_usage(engine: Engine, bound: str):
    answer = engine.chat(**{bound: 3}).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["stop_reason"] is None
    usage = answer["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["total_tokens"] == usage["prompt_tokens"] + 3


def test_an_answer_that_ends_by_itself_stops_and_counts_its_end_token(engine: Engine):
    answer = engine.chat(max_tokens=300, return_token_ids=True).json
    choice = answer["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", None)
    assert answer["usage"]["completion_tokens"] == len(choice["token_ids"])


def test_ignoring_the_end_runs_to_the_bound(engine: Engine):
    answer = engine.chat(max_tokens=60, ignore_eos=True).json
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 60


@pytest.mark.parametrize("keep", [False, True])
def test_a_stop_string_ends_the_text_before_or_after_it(engine: Engine, keep: bool):
    choice = engine.chat(stop=["cap"], max_tokens=30, include_stop_str_in_output=keep).json["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "cap")
    assert choice["message"]["content"].endswith("cap") is keep


def test_n_gives_as_many_choices_and_counts_all_of_them(engine: Engine):
    answer = engine.chat(n=2, temperature=1, max_tokens=2).json
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"]["completion_tokens"] == 4


def test_several_prompts_give_choices_in_order(engine: Engine):
    answer = engine.complete(prompt=["One", "Two"], n=2, temperature=1, max_tokens=1).json
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert answer["usage"]["completion_tokens"] == 4


def test_a_prompt_may_be_token_ids(engine: Engine):
    assert engine.complete(prompt=[20, 21, 22], max_tokens=1).json["usage"]["prompt_tokens"] == 3


def test_an_echo_begins_with_the_prompt(engine: Engine):
    assert engine.complete(echo=True, max_tokens=2).json["choices"][0]["text"].startswith("Count to five")


def test_chat_logprobs(engine: Engine):
    logprobs = engine.chat(logprobs=True, top_logprobs=2, max_tokens=2).json["choices"][0]["logprobs"]
    assert list(logprobs) == ["content"]
    assert len(logprobs["content"]) == 2
    for entry in logprobs["content"]:
        assert list(entry) == ["token", "logprob", "bytes", "top_logprobs"]
        assert bytes(entry["bytes"]).decode() == entry["token"]
        assert [list(top) for top in entry["top_logprobs"]] == [["token", "logprob", "bytes"]] * 2
        assert entry["top_logprobs"][0] == {k: entry[k] for k in ("token", "logprob", "bytes")}


def test_chat_logprobs_without_alternatives(engine: Engine):
    logprobs = engine.chat(logprobs=True, max_tokens=1).json["choices"][0]["logprobs"]
    assert logprobs["content"][0]["top_logprobs"] == []


def test_completion_logprobs(engine: Engine):
    logprobs = engine.complete(logprobs=2, max_tokens=2).json["choices"][0]["logprobs"]
    assert list(logprobs) == ["text_offset", "token_logprobs", "tokens", "top_logprobs"]
    assert logprobs["text_offset"] == [0, len(logprobs["tokens"][0])]
    assert [len(top) for top in logprobs["top_logprobs"]] == [2, 2]


def test_token_ids_are_given_when_asked_for(engine: Engine):
    answer = engine.chat(return_token_ids=True, max_tokens=3).json
    assert len(answer["choices"][0]["token_ids"]) == 3
    assert len(answer["prompt_token_ids"]) == answer["usage"]["prompt_tokens"]
    completion = engine.complete(return_token_ids=True, max_tokens=2).json["choices"][0]
    assert len(completion["token_ids"]) == 2
    assert len(completion["prompt_token_ids"]) > 0


@pytest.mark.parametrize(
    ("choice", "ends", "content"),
    [("required", "tool_calls", ""), ({"type": "function", "function": {"name": "get_weather"}}, "stop", "")],
)
def test_a_forced_tool_call(engine: Engine, choice: object, ends: str, content: str):
    told = engine.chat(tools=TOOLS, tool_choice=choice, max_tokens=200).json["choices"][0]
    assert told["finish_reason"] == ends
    assert told["message"]["content"] == content
    assert list(told["message"]) == [*MESSAGE[:6], "tool_calls", "reasoning"]
    [call] = told["message"]["tool_calls"]
    assert list(call) == ["id", "type", "function"]
    assert list(call["function"]) == ["name", "arguments"]
    assert call["id"].startswith("chatcmpl-tool-")
    assert call["function"]["name"] == "get_weather"
    assert isinstance(json.loads(call["function"]["arguments"])["city"], str)


def test_a_schema_is_followed(engine: Engine):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 5}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    # Asked for what it can do: before a field that says nothing to it, a small model writes blanks without end.
    asked = [{"role": "user", "content": "Ada is 36 years old. Answer as JSON."}]
    told = engine.chat(messages=asked, response_format=wanted, max_tokens=200).json["choices"][0]
    assert told["finish_reason"] == "stop"
    made = json.loads(told["message"]["content"])
    assert set(made) == {"name", "age"}
    assert len(made["name"]) <= 5


def test_unknown_fields_are_ignored(engine: Engine):
    assert engine.chat(nobody_knows_this=1, max_tokens=1).status == 200


def test_nulls_mean_the_defaults(engine: Engine):
    empty = dict.fromkeys(["stop", "n", "stream", "temperature", "top_p", "seed", "stream_options"])
    assert engine.chat(**empty, max_tokens=1).status == 200


def test_load_is_told_in_a_header_on_request(engine: Engine):
    reply = engine.chat({"endpoint-load-metrics-format": "JSON"}, max_tokens=1)
    told = json.loads((reply.header("endpoint-load-metrics") or "").removeprefix("JSON "))
    assert set(told["named_metrics"]) == {"num_requests_waiting", "kv_cache_usage_perc"}
