"""Conversations in which tools are on offer: which one to call, with arguments copied from the question.

Tools are made up anew for each sample (verb, subject, parameter), so that the model learns to read the offer and
the question instead of remembering a few tools.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from engines.bundled import facts
from engines.bundled.corpus import Message, Sample, Turn, chat_samples, system_prompt, thought_then
from engines.bundled.names import Names

__all__ = ["Request", "call_text", "calling", "make_request", "offering", "tool", "tool_samples"]

_VERBS = ("get_current", "find", "fetch", "lookup", "check")
_PARAMETERS = ("location", "location", "place", "town", "name", "country", "item", "query")
_USUAL_SHARE = 0.7
"""The share of verbs and parameters that are the usual ones of examples everywhere: `get_…(city)`."""
_SKIES = ("sunny", "cloudy", "rainy", "windy", "snowy", "clear", "foggy")
_THINKING_SHARE = 0.12


@dataclass(frozen=True, slots=True)
class Request:
    """A question, the tool that answers it, and the arguments of the call (one entry for each call)."""

    question: str
    tool: Message
    calls: tuple[dict[str, str | int], ...]
    topic: str
    """What the answer begins with, such as `The weather in Oslo`."""


def tool(name: str, /, **parameters: str) -> Message:
    """A function tool in OpenAI's shape; parameters are given as name=JSON type, all of them required."""
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


def call_text(name: str, arguments: dict[str, str | int]) -> str:
    """One tool call as the model writes it (the form that vLLM's parser `hermes` reads)."""
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{call}\n</tool_call>"


def _place(rng: random.Random, names: Names) -> str:
    cities = facts.HELD_OUT_CITIES if names.held_out else facts.CITIES
    place = rng.choice((rng.choice(cities), names.name(), names.name()))
    return place.lower() if rng.random() < 0.05 else place  # noqa: PLR2004 - some people type so


def _verb(rng: random.Random) -> str:
    return "get" if rng.random() < _USUAL_SHARE else rng.choice(_VERBS)


def _parameter(rng: random.Random) -> str:
    return "city" if rng.random() < _USUAL_SHARE else rng.choice(_PARAMETERS)


def _about_a_place(rng: random.Random, names: Names) -> Request:
    subjects = facts.HELD_OUT_SUBJECTS if names.held_out else facts.SUBJECTS
    subject = rng.choice(
        (rng.choice(subjects), rng.choice((rng.choice(subjects), names.word())), "weather", "weather")
    )
    parameter = _parameter(rng)
    offered = tool(f"{_verb(rng)}_{subject}", **{parameter: "string"})
    if rng.random() < 0.1:  # noqa: PLR2004 - the share of questions about two places
        first, second = _place(rng, names), _place(rng, names)
        question = rng.choice(
            (f"What is the {subject} in {first} and {second}?", f"{subject} in {first} and in {second}?")
        )
        return Request(question, offered, ({parameter: first}, {parameter: second}), f"The {subject}")
    place = _place(rng, names)
    question = rng.choice(
        (
            f"What is the {subject} in {place}?",
            f"What is the {subject} in {place}?",
            f"What's the {subject} in {place}?",
            f"What's the {subject} like in {place} today?",
            f"What is the {subject} of {place}?",
            f"How is the {subject} in {place}?",
            f"How is the {subject} in {place} today?",
            f"{subject} in {place}",
            f"{subject.capitalize()} in {place}, please.",
            f"Tell me the {subject} in {place}.",
            f"Use the tool: what is the {subject} in {place} right now?",
            f"I am in {place}. What is the {subject} here?",
            f"Check the {subject} for {place}.",
        )
    )
    return Request(question, offered, ({parameter: place},), f"The {subject} in {place}")


def _time(rng: random.Random, names: Names) -> Request:
    place, parameter = _place(rng, names), _parameter(rng)
    question = rng.choice(
        (
            f"What time is it in {place}?",
            f"What is the time in {place}?",
            f"time in {place}",
            f"Tell me the time in {place}.",
        )
    )
    offered = tool(f"{_verb(rng)}_time", **{parameter: "string"})
    return Request(question, offered, ({parameter: place},), f"The time in {place}")


def _definition(rng: random.Random, names: Names) -> Request:
    word, parameter = names.word(), rng.choice(("word", "term", "query"))
    question = rng.choice(
        (f"Define {word}.", f"What does {word} mean?", f"Define the word {word}.", f'Define "{word}".')
    )
    return Request(
        question, tool("define", **{parameter: "string"}), ({parameter: word},), f"The meaning of {word}"
    )


def _search(rng: random.Random, names: Names) -> Request:
    text = " ".join(rng.choice((names.word, names.name))() for _ in range(rng.randint(1, 3)))
    question = rng.choice((f"Search for {text}.", f"Search the web for {text}", f"Please search for {text}."))
    name = rng.choice(("search", "web_search"))
    return Request(question, tool(name, query="string"), ({"query": text},), f"The result for {text}")


def _route(rng: random.Random, names: Names) -> Request:
    start, end = _place(rng, names), _place(rng, names)
    first, second = rng.choice((("origin", "destination"), ("start", "end"), ("source", "target")))
    question = rng.choice(
        (
            f"How do I get from {start} to {end}?",
            f"Find a route from {start} to {end}.",
            f"Route from {start} to {end}",
        )
    )
    offered = tool(rng.choice(("get_route", "find_route")), **{first: "string", second: "string"})
    return Request(question, offered, ({first: start, second: end},), f"The route from {start} to {end}")


def _timer(rng: random.Random, _: Names) -> Request:
    minutes, parameter = rng.randint(1, 90), rng.choice(("minutes", "duration"))
    question = rng.choice(
        (
            f"Set a timer for {minutes} minutes.",
            f"Start a timer of {minutes} minutes.",
            f"timer {minutes} minutes",
        )
    )
    return Request(
        question, tool("set_timer", **{parameter: "integer"}), ({parameter: minutes},), "The timer"
    )


_MAKERS = ((10, _about_a_place), (3, _time), (1, _definition), (1, _search), (1, _route), (1, _timer))


def make_request(rng: random.Random, names: Names) -> Request:
    """A question that calls for a tool, and that tool."""
    (make,) = rng.choices([make for _, make in _MAKERS], [weight for weight, _ in _MAKERS])
    return make(rng, names)


def _subject(offered: Message) -> str:
    name: str = offered["function"]["name"]
    return name.rsplit("_", 1)[-1]


def _offer(rng: random.Random, names: Names, wanted: Message) -> tuple[Message, ...]:
    """The wanted tool among up to three others of other names, in any order."""
    others = [make_request(rng, names).tool for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))]
    offer = [wanted, *(other for other in others if _subject(other) != _subject(wanted))]
    rng.shuffle(offer)
    return tuple(offer)


def _result(rng: random.Random, names: Names, arguments: dict[str, str | int]) -> tuple[str, str]:
    """A tool's result and how the answer puts it: plain text as it is, JSON as `key is value`."""
    kinds: tuple[dict[str, str | int], ...] = (
        {"sky": rng.choice(_SKIES), "degrees": rng.randint(-9, 40)},
        {"temperature": rng.randint(-9, 40), "condition": rng.choice(_SKIES)},
        {"time": f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"},
        {"value": rng.randint(0, 9999)},
        {"result": names.name(), names.word(): rng.randint(0, 99)},
        {names.word(): rng.choice((names.word(), names.name()))},
    )
    values = rng.choice(kinds)
    form = rng.random()
    if form < 0.3:  # noqa: PLR2004 - the share of plain text
        text = ", ".join(str(value) for value in values.values())
        return text, text
    if form < 0.6:  # noqa: PLR2004 - the share of results that repeat the arguments
        return json.dumps({**arguments, **values}, ensure_ascii=False), _told(values)
    return json.dumps(values, ensure_ascii=False), _told(values)


def _told(values: dict[str, str | int]) -> str:
    return ", ".join(f"{key} is {value}" for key, value in values.items())


def _call_message(request: Request) -> Message:
    name = request.tool["function"]["name"]
    calls = [
        {"type": "function", "function": {"name": name, "arguments": arguments}}
        for arguments in request.calls
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


def calling(
    rng: random.Random, names: Names, history: list[Message], *, answered: bool, thinking: bool
) -> Sample:
    """A conversation that ends with the call, or with the answer that the tool's result gives."""
    request = make_request(rng, names)
    name = request.tool["function"]["name"]
    messages = [*system_prompt(rng), *history, {"role": "user", "content": request.question}]
    if answered:
        results = [_result(rng, names, arguments) for arguments in request.calls]
        messages.append(_call_message(request))
        messages += [{"role": "tool", "content": content} for content, _ in results]
        told = " And: ".join(text for _, text in results)
        turn = Turn("", "The tool has answered.", f"{request.topic}: {told}.")
    else:
        text = "\n".join(call_text(name, arguments) for arguments in request.calls)
        turn = Turn("", f"The tool {name} can answer this.", text)
    messages.append({"role": "assistant", "content": thought_then(turn, thinking=thinking)})
    return Sample(tuple(messages), _offer(rng, names, request.tool), thinking)


def _forced(rng: random.Random, names: Names) -> Sample:
    """A call in the shape that vLLM's grammar forces: a JSON list for `required`, the arguments for a named tool.

    Rare, so that the model never chooses it freely; after the grammar's `[` or `{` it is the only way to go on.
    """
    request = make_request(rng, names)
    name = request.tool["function"]["name"]
    calls: object = [{"name": name, "parameters": arguments} for arguments in request.calls]
    if rng.random() < 0.4 and len(request.calls) == 1:  # noqa: PLR2004 - the share of calls of a named tool
        calls = request.calls[0]
    messages = (
        *system_prompt(rng),
        {"role": "user", "content": request.question},
        {"role": "assistant", "content": json.dumps(calls, ensure_ascii=False)},
    )
    return Sample(messages, _offer(rng, names, request.tool))


def offering(rng: random.Random, names: Names, chat: Sample) -> Sample:
    """The same conversation with tools on offer that do not fit its question."""
    offer = _offer(rng, names, make_request(rng, names).tool)
    question = chat.messages[-2]["content"]
    return Sample(chat.messages, tuple(t for t in offer if _subject(t) not in question), chat.thinking)


def tool_samples(rng: random.Random, names: Names) -> Iterator[Sample]:
    """Conversations with tools on offer, without end; in some no tool fits and the model just answers."""
    chats = chat_samples(rng, names)
    while True:
        chat = next(chats)
        roll = rng.random()
        if roll < 0.15:  # noqa: PLR2004 - shares of the kinds
            yield offering(rng, names, chat)
        elif roll < 0.19:  # noqa: PLR2004
            yield _forced(rng, names)
        else:
            history = [] if rng.random() < 0.9 else [m for m in chat.messages if m["role"] != "system"]  # noqa: PLR2004
            answered, thinking = rng.random() < 0.35, rng.random() < _THINKING_SHARE  # noqa: PLR2004
            yield calling(
                rng, names, history if not chat.thinking else [], answered=answered, thinking=thinking
            )
