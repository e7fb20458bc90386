"""From a body to the tokens that the engine makes of it, with the bundled model's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engines.bundled import model_path
from gateway.balancer.precise.asked import read
from gateway.balancer.precise.reader import Reader, Readers, load
from tests.unit.balancer.precise.test_tokens import Aside

RECORDED = json.loads((Path(__file__).parents[2] / "fleet/cached/recorded/prompt.json").read_text())
QUESTION = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def reader() -> Reader:
    made = load(model_path(), lambda work, done: done(work()))
    assert isinstance(made, Reader)
    return made


def text(reader: Reader, **fields: Any) -> str | None:
    asked = read(json.dumps({"model": "m", **fields}).encode())
    return None if asked is None else reader.text(asked)


def test_a_chat_becomes_the_tokens_that_vllm_made_of_it(reader: Reader) -> None:
    asked = read(json.dumps({"messages": RECORDED["messages"]}).encode())
    assert asked is not None
    reader.prompt(asked, reader.text(asked), 1)  # what is long is made aside, here at once
    prompt = reader.prompt(asked, reader.text(asked), 1)
    assert prompt is not None
    by_ids = reader._tokens.of_ids(RECORDED["tokens"], 1)
    assert (prompt.chain, prompt.tokens) == (by_ids.chain, by_ids.tokens)


def test_parts_of_text_are_lines_and_no_content_is_none(reader: Reader) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert text(reader, messages=[{"role": "user", "content": parts}]) == text(
        reader, messages=[{"role": "user", "content": "a\nb"}]
    )
    assert text(reader, messages=[{"role": "user", "content": None}]) == (
        "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_and_their_calls_are_rendered(reader: Reader) -> None:
    tool = {"type": "function", "function": {"name": "rain", "parameters": {"required": ["city"]}}}
    calls = [{"id": "1", "type": "function", "function": {"name": "rain", "arguments": '{"city":"Oslo"}'}}]
    rendered = text(
        reader,
        messages=[*QUESTION, {"role": "assistant", "content": None, "tool_calls": calls}],
        tools=[tool],
    )
    assert rendered is not None
    assert "Tools:\nrain(city)" in rendered
    assert '{"name": "rain", "arguments": {"city": "Oslo"}}' in rendered


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": QUESTION, "chat_template": "{{ messages }}"},
        {"messages": QUESTION, "documents": [{"text": "a"}]},
        {"messages": QUESTION, "continue_final_message": True},
        {"messages": []},
        {"messages": "no list"},
        {"prompt": ["two", "prompts"]},
        {"prompt": "a", "suffix": "b"},
        {"prompt": "a", "echo": True},
    ],
    ids="-".join,
)
def test_what_would_be_rendered_otherwise_is_not_read(reader: Reader, fields: dict[str, Any]) -> None:
    assert text(reader, **fields) is None


def test_a_completion_is_its_prompt_as_text_or_as_tokens(reader: Reader) -> None:
    assert text(reader, prompt="Once upon") == "Once upon"
    asked = read(b'{"prompt": [1, 2, 3, 4]}')
    assert asked is not None
    prompt = reader.prompt(asked, reader.text(asked), 2)
    assert prompt is not None
    assert (len(prompt.chain), prompt.tokens) == (2, 4)


def test_a_folder_without_a_tokenizer_is_told_once_and_asked_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = Aside()
    readers = Readers(aside.run)
    assert readers.of(str(tmp_path)) is None
    assert aside.do() == 1
    assert readers.of(str(tmp_path)) is None
    assert (aside.do(), readers.failures, len(caplog.records)) == (0, 1, 1)


def test_a_template_may_be_in_the_tokenizers_settings(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((model_path() / "tokenizer.json").read_bytes())
    template = "{{ bos_token }}{% generation %}{{ messages[0].content | tojson }}{% endgeneration %}"
    settings = {"chat_template": [{"name": "default", "template": template}], "bos_token": {"content": "<b>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    made = load(tmp_path, lambda work, done: done(work()))
    assert isinstance(made, Reader)
    assert text(made, messages=[{"role": "user", "content": "ü<"}]) == '<b>"ü<"'
    assert text(made, messages=[{"role": "developer", "content": "x"}]) is None


def test_a_template_cannot_reach_beyond_its_values(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((model_path() / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ messages.__class__.__mro__ }}")
    made = load(tmp_path, lambda work, done: done(work()))
    assert isinstance(made, Reader)
    assert text(made, messages=QUESTION) is None
