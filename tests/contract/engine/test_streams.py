"""Streams: one event a chunk, keys in order, ends.

A busy engine puts several tokens in one event, so nothing here counts on one event a token.
"""

import json

import pytest

from tests.contract.engine.exchange import TOOLS, Engine

EVENT = ["id", "object", "created", "model", "choices"]
CHOICE = ["index", "delta", "logprobs", "finish_reason"]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
USAGE = {"include_usage": True}


def test_a_stream_has_these_headers_in_this_order(engine: Engine):
    reply = engine.chat(stream=True, max_tokens=1)
    assert reply.names == ["date", "server", "content-type", "vary", "connection", "transfer-encoding"]
    assert reply.header("content-type") == "text/event-stream; charset=utf-8"


def test_every_http_chunk_is_one_event(engine: Engine):
    reply = engine.chat(stream=True, max_tokens=5)
    assert reply.is_complete
    assert all(chunk.startswith(b"data: ") and chunk.endswith(b"\n\n") for chunk in reply.chunks)
    assert all(chunk.count(b"\n") == 2 for chunk in reply.chunks)
    assert reply.chunks[-1] == b"data: [DONE]\n\n"


def test_the_events_of_a_chat_stream(engine: Engine):
    first, *middle, last = engine.chat(stream=True, max_tokens=4).events
    assert list(first) == [*EVENT, "prompt_token_ids", "prompt_text"]
    assert list(first["choices"][0]) == CHOICE
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["object"] == "chat.completion.chunk"
    for event in middle:
        assert list(event) == EVENT
        assert list(event["choices"][0]) == [*CHOICE, "token_ids"]
        assert list(event["choices"][0]["delta"]) == ["content"]
    assert list(last) == [*EVENT, "system_fingerprint"]
    assert list(last["choices"][0]) == [*CHOICE, "stop_reason", "token_ids"]
    assert last["choices"][0]["finish_reason"] == "length"
    assert len(middle) <= 3


def test_the_stream_says_what_the_plain_answer_says(engine: Engine):
    plain = engine.chat(max_tokens=40).json["choices"][0]
    events = engine.chat(stream=True, max_tokens=40).events
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
    assert (text, events[-1]["choices"][0]["finish_reason"]) == (
        plain["message"]["content"],
        plain["finish_reason"],
    )


def test_a_stream_that_ends_by_itself_has_an_empty_last_delta(engine: Engine):
    last = engine.chat(stream=True, max_tokens=300).events[-1]
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"


def test_usage_comes_last_and_takes_the_fingerprint_with_it(engine: Engine):
    *_, finish, usage = engine.chat(stream=True, stream_options=USAGE, max_tokens=4).events
    assert list(finish) == EVENT
    assert list(usage) == [*EVENT, "usage", "system_fingerprint"]
    assert usage["choices"] == []
    assert list(usage["usage"]) == ["prompt_tokens", "total_tokens", "completion_tokens"]
    assert usage["usage"]["completion_tokens"] == 4


def test_usage_in_every_event_when_asked_for(engine: Engine):
    options = {"include_usage": True, "continuous_usage_stats": True}
    *events, last = engine.chat(stream=True, stream_options=options, max_tokens=3).events
    told = [event["usage"]["completion_tokens"] for event in events]
    assert (told[0], told[-1]) == (0, 3)
    assert told == sorted(told)
    keys = ["prompt_tokens", "total_tokens", "completion_tokens"]
    assert all(list(event["usage"]) == [*keys, "completion_tokens_details"] for event in events)
    assert list(last["usage"]) == keys


def test_no_usage_unless_asked_for(engine: Engine):
    assert not any("usage" in event for event in engine.chat(stream=True, max_tokens=2).events)


def test_choices_of_one_stream(engine: Engine):
    events = engine.chat(stream=True, n=2, temperature=1, max_tokens=2, stream_options=USAGE).events
    roles = [e["choices"][0]["index"] for e in events[:2]]
    assert roles == [0, 1]
    ends = [e["choices"][0]["index"] for e in events[:-1] if e["choices"][0]["finish_reason"]]
    assert sorted(ends) == [0, 1]
    assert events[-1]["usage"]["completion_tokens"] == 4


def test_a_stop_string_never_shows(engine: Engine):
    events = engine.chat(stream=True, stop=["cap"], max_tokens=30).events
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
    last = events[-1]["choices"][0]
    assert (last["finish_reason"], last["stop_reason"]) == ("stop", "cap")
    assert "c" not in text[-1:]
    assert "cap" not in text


def test_logprobs_of_a_stream(engine: Engine):
    _, *events = engine.chat(stream=True, logprobs=True, top_logprobs=2, max_tokens=2).events
    entries = [entry for event in events for entry in event["choices"][0]["logprobs"]["content"]]
    assert len(entries) == 2
    assert all(list(entry) == ["token", "logprob", "bytes", "top_logprobs"] for entry in entries)


def test_token_ids_of_a_stream(engine: Engine):
    first, *events = engine.chat(stream=True, return_token_ids=True, max_tokens=3).events
    assert len(first["prompt_token_ids"]) > 0
    assert sum(len(e["choices"][0]["token_ids"]) for e in events) == 3


def test_tokens_may_come_several_to_an_event(engine: Engine):
    _, *events = engine.chat(
        stream=True, stream_interval=3, max_tokens=7, ignore_eos=True, return_token_ids=True
    ).events
    sizes = [len(e["choices"][0]["token_ids"]) for e in events]
    assert sum(sizes) == 7
    assert len(sizes) <= 3


@pytest.mark.parametrize(("choice", "ends"), [("required", "tool_calls"), (NAMED, "stop")])
def test_a_tool_call_comes_in_pieces(engine: Engine, choice: object, ends: str):
    role, *events, last = engine.chat(stream=True, tools=TOOLS, tool_choice=choice, max_tokens=200).events
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(list(e["choices"][0]["delta"]) == ["content", "tool_calls"] for e in events)
    assert all(e["choices"][0]["delta"]["content"] is None for e in events)
    first, *more = [e["choices"][0]["delta"]["tool_calls"][0] for e in events]
    assert list(first) == ["id", "type", "index", "function"]
    assert first["function"]["name"] == "get_weather"
    assert all(list(c) == ["index", "function"] and list(c["function"]) == ["arguments"] for c in more)
    arguments = "".join(c["function"].get("arguments", "") for c in (first, *more))
    assert isinstance(json.loads(arguments)["city"], str)
    assert last["choices"][0]["finish_reason"] == ends


COMPLETION_CHOICE = [
    "index",
    "text",
    "logprobs",
    "finish_reason",
    "stop_reason",
    "prompt_token_ids",
    "token_ids",
]


def test_the_events_of_a_completion_stream(engine: Engine):
    *middle, last = engine.complete(stream=True, max_tokens=2).events
    assert all(list(event) == EVENT for event in middle)
    assert list(last) == [*EVENT, "system_fingerprint"]
    assert all(list(e["choices"][0]) == COMPLETION_CHOICE for e in [*middle, last])
    assert last["object"] == "text_completion"


def test_usage_of_a_completion_stream(engine: Engine):
    options = {"include_usage": True, "continuous_usage_stats": True}
    *events, last = engine.complete(stream=True, stream_options=options, max_tokens=2, ignore_eos=True).events
    keys = ["prompt_tokens", "total_tokens", "completion_tokens"]
    assert all(list(event["usage"]) == keys for event in [*events, last])
    assert events[-1]["usage"]["completion_tokens"] == 2
    assert last["choices"] == []


def test_logprobs_and_ids_of_a_completion_stream(engine: Engine):
    asked = {"stream": True, "logprobs": 2, "return_token_ids": True, "max_tokens": 2, "ignore_eos": True}
    first, *more = [e["choices"][0] for e in engine.complete(**asked).events]
    assert len(first["prompt_token_ids"]) > 0
    assert all(choice["prompt_token_ids"] is None for choice in more)
    assert sum(len(choice["token_ids"]) for choice in (first, *more)) == 2
    offsets = [offset for choice in (first, *more) for offset in choice["logprobs"]["text_offset"]]
    assert offsets == [0, len(first["logprobs"]["tokens"][0])]


def test_an_echo_comes_with_the_first_token(engine: Engine):
    first = engine.complete(stream=True, echo=True, max_tokens=2).events[0]
    assert first["choices"][0]["text"].startswith("Count to five, please")


def test_the_head_of_a_stream_comes_before_its_first_token(engine: Engine):
    """A client may see 200 and then, as first event, an error: the head says nothing about the engine."""
    with engine.connect() as connection:
        body = {
            "model": engine.model,
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": True,
            "max_tokens": 1,
        }
        connection.send(engine.request("POST", "/v1/chat/completions", body))
        assert connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
