"""What is sent is what an SDK sends."""

from __future__ import annotations

import httpx
import msgspec
import openai
import pytest

from benchmarks.requests import MODEL, chat


def body_of(payload: bytes) -> bytes:
    return payload.partition(b"\r\n\r\n")[2]


def sent_by_the_sdk(body: bytes, *, stream: bool) -> bytes:
    """The body that the OpenAI SDK makes of the same call."""
    sent: list[bytes] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(500)

    messages = msgspec.json.decode(body)["messages"]
    with httpx.Client(transport=httpx.MockTransport(take)) as http:
        client = openai.OpenAI(api_key="k", base_url="http://localhost/v1", http_client=http, max_retries=0)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(
                model=MODEL,
                messages=messages,
                max_tokens=16,
                extra_body={"ignore_eos": True},
                **({"stream": True} if stream else {}),
            )
    return sent[0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [1024, 16 * 1024])
def test_a_body_is_byte_for_byte_what_the_openai_sdk_sends(size, stream):
    body = body_of(chat("key", body_bytes=size, tokens=16, stream=stream).payload)
    assert len(body) == size
    assert body == sent_by_the_sdk(body, stream=stream)


def test_a_prompt_has_line_ends_and_quotation_marks_as_text_has():
    body = body_of(chat("key", body_bytes=1024, tokens=16, stream=False).payload)
    assert b"\\n" in body
    assert b'\\"' in body


def test_any_size_is_met_exactly():
    for size in range(300, 420):
        payload = chat("key", body_bytes=size, tokens=16, stream=False).payload
        assert len(body_of(payload)) == size
