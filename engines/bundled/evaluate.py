"""Measures what the bundled model can do: greedy answers to conversations that training has not seen.

Names, cities and subjects of tool calls come from the held-out side; facts (capitals, words of other languages)
cannot be held out, only their conversations are new. Needs torch and transformers, as `train` does.
"""

# A command prints its result.
# ruff: noqa: T201

import itertools
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engines.bundled.corpus import CHAT, Sample, chat_sample, memory, system_prompt
from engines.bundled.names import Names
from engines.bundled.tooluse import calling, offering

__all__ = ["evaluate"]

SEED = 2026
BATCH = 25
MAX_NEW_TOKENS = 700
LONG_ANSWER_TOKENS = 200

USUAL_TOOLS = {
    ("get_weather", "city"),
    ("get_time", "city"),
    ("define", "word"),
    ("search", "query"),
    ("web_search", "query"),
    ("get_route", "origin", "destination"),
    ("set_timer", "minutes"),
}
"""Names and parameters of the tools that the first rows about tools offer; the others offer made-up ones as well."""

_CALL = re.compile(r"<tool_call>\n(\{.*?\})\n</tool_call>")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, in how many tokens, and whether it stopped by itself."""

    text: str
    tokens: int
    stopped: bool


Judge = Callable[[Sample, Answer], bool]


def exact(sample: Sample, answer: Answer) -> bool:
    """The very text that the corpus would have given."""
    return answer.stopped and answer.text == sample.messages[-1]["content"]


def well_formed(_: Sample, answer: Answer) -> bool:
    """Nothing but calls, each of them JSON with a name and arguments."""
    calls = _CALL.findall(answer.text)
    whole = _CALL.sub("", answer.text).strip() == ""
    return answer.stopped and whole and bool(calls) and all(_is_call(text) for text in calls)


def right_tool(sample: Sample, answer: Answer) -> bool:
    """Calls of the right tool, whatever the arguments."""
    name = r'"name": "([^"]*)"'
    return re.findall(name, answer.text) == re.findall(name, sample.messages[-1]["content"])


def arguments_copied(sample: Sample, answer: Answer) -> bool:
    """Calls with the right values, whatever the tool and the names of its parameters."""
    if not well_formed(sample, answer):
        return False
    return _values(answer.text) == _values(sample.messages[-1]["content"])


def _values(text: str) -> list[list[str | int]]:
    return [list(json.loads(call)["arguments"].values()) for call in _CALL.findall(text)]


def no_call(_: Sample, answer: Answer) -> bool:
    """An answer without a call."""
    return answer.stopped and "<tool_call>" not in answer.text


def thinks(_: Sample, answer: Answer) -> bool:
    """One thought in front and an answer after it."""
    return (
        answer.stopped
        and re.fullmatch(r"<think>[^<]+</think>(?!.*</?think>).+", answer.text, re.DOTALL) is not None
    )


def does_not_think(_: Sample, answer: Answer) -> bool:
    """No trace of a thought."""
    return answer.stopped and "think>" not in answer.text


def long_answer(_: Sample, answer: Answer) -> bool:
    """Long enough for tests of streaming, and it ends by itself."""
    return answer.stopped and answer.tokens > LONG_ANSWER_TOKENS


def stops(_: Sample, answer: Answer) -> bool:
    """An end of its own accord."""
    return answer.stopped


def _is_call(text: str) -> bool:
    try:
        call = json.loads(text)
    except ValueError:
        return False
    return set(call) == {"name", "arguments"} and isinstance(call["arguments"], dict)


def _chat(rng: random.Random, kind: str, count: int, *, thinking: bool = False) -> list[Sample]:
    names, (_, make) = Names(rng, held_out=True), CHAT[kind]
    return [chat_sample(make(rng, names), system_prompt(rng), thinking=thinking) for _ in range(count)]


def _any_chat(rng: random.Random, count: int, *, thinking: bool) -> list[Sample]:
    return [sample for kind in CHAT for sample in _chat(rng, kind, count, thinking=thinking)]


def _memories(rng: random.Random, count: int) -> list[Sample]:
    names = Names(rng, held_out=True)
    asked = (memory(rng, names) for _ in range(count))
    return [chat_sample(turn, history, thinking=False) for history, turn in asked]


def _calls(
    rng: random.Random, count: int, *, answered: bool, usual: bool = False, thinking: bool = False
) -> list[Sample]:
    names = Names(rng, held_out=True)
    made = (calling(rng, names, [], answered=answered, thinking=thinking) for _ in itertools.count())
    return list(itertools.islice((sample for sample in made if not usual or _has_usual_tools(sample)), count))


def _has_usual_tools(sample: Sample) -> bool:
    functions = (offered["function"] for offered in sample.tools)
    return all((f["name"], *f["parameters"]["required"]) in USUAL_TOOLS for f in functions)


def _idle_tools(rng: random.Random, count: int) -> list[Sample]:
    return [offering(rng, Names(rng, held_out=True), chat) for chat in _any_chat(rng, count, thinking=False)]


def _tasks(rng: random.Random) -> list[tuple[list[Sample], dict[str, Judge]]]:
    """Conversations, and the rows of the table that are judged on each group of them."""
    return [
        (_chat(rng, "capital", 100), {"capital of a country": exact}),
        (_chat(rng, "sum", 100), {"sum of two numbers": exact}),
        (_chat(rng, "count", 50), {"counting in digits, up to 100": exact}),
        (_chat(rng, "count_in_words", 25), {"counting in words": exact}),
        (_chat(rng, "list", 25), {"numbered list": exact}),
        (_chat(rng, "series", 25), {"days, months, letters": exact}),
        (_chat(rng, "hello_in", 50), {"greeting in another script": exact}),
        (_chat(rng, "emoji", 50), {"emoji": exact}),
        (_chat(rng, "json_answer", 50), {"answer as JSON": exact}),
        (_chat(rng, "echo", 100), {"repeating unseen words": exact}),
        (_memories(rng, 50), {"remembering a name": exact}),
        (_chat(rng, "story", 50), {"short story ends by itself": stops}),
        (
            _chat(rng, "long_story", 25),
            {"long story (over 200 tokens, exact)": exact, "long story is long": long_answer},
        ),
        (
            _calls(rng, 300, answered=False, usual=True),
            {
                "usual tools: call is well formed": well_formed,
                "usual tools: right tool": right_tool,
                "usual tools: exact call, unseen names": exact,
            },
        ),
        (
            _calls(rng, 50, answered=False, usual=True, thinking=True),
            {"usual tools: thinks, then calls": exact},
        ),
        (_calls(rng, 100, answered=True, usual=True), {"usual tools: answer from the result": exact}),
        (
            _calls(rng, 200, answered=False),
            {
                "any tool: call is well formed": well_formed,
                "any tool: arguments copied": arguments_copied,
                "any tool: exact call": exact,
            },
        ),
        (_idle_tools(rng, 5), {"no call when no tool fits": no_call}),
        (_any_chat(rng, 5, thinking=True), {"thinks when asked to": thinks}),
        (_any_chat(rng, 5, thinking=False), {"does not think unasked": does_not_think}),
    ]


class Chat:
    """The model of a folder, answering greedily in float32."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def answers(self, samples: list[Sample]) -> list[Answer]:
        """One answer for each conversation, its last message left out."""
        return [
            answer for at in range(0, len(samples), BATCH) for answer in self._batch(samples[at : at + BATCH])
        ]

    def _batch(self, samples: list[Sample]) -> list[Answer]:
        prompts = [self._prompt(sample) for sample in samples]
        inputs = self._tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            output = self._model.generate(**inputs, do_sample=False, max_new_tokens=MAX_NEW_TOKENS)
        return [self._answer(row) for row in output[:, inputs.input_ids.shape[1] :].tolist()]

    def _prompt(self, sample: Sample) -> str:
        text: str = self._tokenizer.apply_chat_template(
            list(sample.messages[:-1]),
            tools=list(sample.tools) or None,
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=sample.thinking,
        )
        return text

    def _answer(self, ids: list[int]) -> Answer:
        stopped = self._tokenizer.eos_token_id in ids
        said = ids[: ids.index(self._tokenizer.eos_token_id)] if stopped else ids
        return Answer(self._tokenizer.decode(said), len(said), stopped)


def evaluate(folder: Path) -> None:
    """Print a Markdown table of success rates, with one example of failure for each row that has one."""
    chat, rng = Chat(folder), random.Random(SEED)  # noqa: S311 - reproducible samples, not secrets
    print("| ability | right | of | share |\n| --- | --- | --- | --- |", flush=True)
    failures = []
    for samples, judges in _tasks(rng):
        answers = chat.answers(samples)
        for ability, judge in judges.items():
            wrong = [(s, a) for s, a in zip(samples, answers, strict=True) if not judge(s, a)]
            right = len(samples) - len(wrong)
            print(f"| {ability} | {right} | {len(samples)} | {right / len(samples):.1%} |", flush=True)
            failures += [(ability, sample, answer) for sample, answer in wrong[:1]]
    for ability, sample, answer in failures:
        question, wanted = sample.messages[-2]["content"], sample.messages[-1]["content"]
        print(f"\n{ability}: {question!r}\n  wanted {wanted!r}\n  got    {answer.text!r}")
