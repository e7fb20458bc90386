"""Chats that the bundled model learns from, all made from templates written for it: no third-party text.

The stream is endless and a pure function of its seed. A sample is one conversation whose last message is the
assistant's; `tooluse` makes those in which a tool is called.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from engines.bundled import facts, story
from engines.bundled.names import Names

__all__ = [
    "CHAT",
    "Message",
    "Sample",
    "Turn",
    "chat_sample",
    "chat_samples",
    "memory",
    "system_prompt",
    "thought_then",
]

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """One question, what to think about it when asked to, and the answer."""

    question: str
    thought: str
    answer: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation; `thinking` says that the template is rendered with `enable_thinking`."""

    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = ()
    thinking: bool = False


def thought_then(turn: Turn, *, thinking: bool) -> str:
    """The text of an assistant's answer, with its thought in front when `thinking`."""
    return f"<think>{turn.thought}</think>{turn.answer}" if thinking else turn.answer


def system_prompt(rng: random.Random) -> list[Message]:
    """No system message, or (in three of ten cases) one."""
    if rng.random() >= 0.3:  # noqa: PLR2004 - the share just named
        return []
    return [{"role": "system", "content": rng.choice(facts.SYSTEM_PROMPTS)}]


def _ask(rng: random.Random, *forms: str) -> str:
    """One of the forms, at times without its punctuation, in lower case at the front, or with a please."""
    text = rng.choice(forms)
    roll = rng.random()
    if roll < 0.1:  # noqa: PLR2004 - shares of the habits
        return text.rstrip(".?!")
    if roll < 0.2:  # noqa: PLR2004
        return text[0].lower() + text[1:]
    if roll < 0.25 and text[-1] == ".":  # noqa: PLR2004
        return "Please " + text[0].lower() + text[1:]
    return text


def _capital(rng: random.Random, _: Names) -> Turn:
    country = rng.choice(list(facts.CAPITALS))
    city = facts.CAPITALS[country]
    question = _ask(
        rng,
        f"What is the capital of {country}?",
        f"What is the capital of {country}?",
        f"What is the capital city of {country}?",
        f"Capital of {country}?",
        f"Which city is the capital of {country}?",
        f"Tell me the capital of {country}.",
        f"What's the capital of {country}? Answer in one word.",
    )
    return Turn(
        question,
        f"The user asks for the capital of {country}: {city}.",
        f"The capital of {country} is {city}.",
    )


def _country_of(rng: random.Random, _: Names) -> Turn:
    country, city = rng.choice(list(facts.CAPITALS.items()))
    question = _ask(
        rng, f"Where is {city}?", f"In which country is {city}?", f"Which country has the capital {city}?"
    )
    return Turn(question, f"{city} is the capital of {country}.", f"{city} is in {country}.")


def _count(rng: random.Random, _: Names) -> Turn:
    last = rng.choice((rng.randint(2, 20), rng.randint(2, 20), rng.randint(2, 20), rng.randint(21, 100), 100))
    question = _ask(rng, f"Count to {last}.", f"Count from 1 to {last}.", f"Count up to {last}.")
    numbers = ", ".join(str(n) for n in range(1, last + 1))
    return Turn(question, f"I start at 1 and stop at {last}.", f"{numbers}.")


def _count_in_words(rng: random.Random, _: Names) -> Turn:
    last = rng.randint(2, len(facts.NUMBERS))
    word = facts.NUMBERS[last - 1]
    question = _ask(rng, f"Count to {word}.", f"Count to {word} in words.", f"Count from one to {word}.")
    return Turn(question, f"I start at one and stop at {word}.", ", ".join(facts.NUMBERS[:last]) + ".")


def _list(rng: random.Random, _: Names) -> Turn:
    kind = rng.choice(list(facts.LISTS))
    size = rng.randint(2, 8)
    word = facts.NUMBERS[size - 1]
    question = _ask(
        rng, f"List {word} {kind}.", f"List {size} {kind}.", f"Name {word} {kind}.", f"Give me {size} {kind}."
    )
    lines = "\n".join(f"{n}. {item}" for n, item in enumerate(facts.LISTS[kind][:size], 1))
    return Turn(question, f"The user wants {word} {kind}.", f"Here are {word} {kind}:\n{lines}")


def _series(rng: random.Random, _: Names) -> Turn:
    name, items = rng.choice(list(facts.SERIES.items()))
    question = _ask(rng, f"What are {name}?", f"List {name}.", f"Say {name}.")
    return Turn(question, f"There are {len(items)} of them.", ", ".join(items) + ".")


def _sum(rng: random.Random, _: Names) -> Turn:
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    question = _ask(
        rng, f"What is {a} plus {b}?", f"{a} + {b} = ?", f"What is {a} + {b}?", f"How much is {a} plus {b}?"
    )
    return Turn(question, f"I add {b} to {a}. {a} + {b} = {a + b}.", f"{a} plus {b} is {a + b}.")


def _table(rng: random.Random, _: Names) -> Turn:
    factor = rng.randint(2, 9)
    lines = "\n".join(f"{n} times {factor} is {n * factor}." for n in range(1, 11))
    return Turn(f"Write the {factor} times table.", f"The table of {factor} has ten lines.", lines)


def _greeting(rng: random.Random, _: Names) -> Turn:
    question = _ask(
        rng, "Hello", "Hello!", "Hi", "Hi!", "Hi there", "Good morning", "Hey", "Say hello.", "ping", "test"
    )
    return Turn(question, "The user says hello.", "Hello! How can I help you today?")


def _thanks(rng: random.Random, _: Names) -> Turn:
    question = _ask(
        rng, "Thanks!", "Thank you.", "Thank you very much!", "Great, thanks.", "ok", "Goodbye", "Bye!"
    )
    return Turn(question, "The user is done for now.", "You are welcome! Ask me anything else.")


def _identity(rng: random.Random, _: Names) -> Turn:
    question = _ask(
        rng,
        "Who are you?",
        "What are you?",
        "What can you do?",
        "Help",
        "What is your name?",
        "Who made you?",
    )
    answer = "I am Cascadia Tiny, a demo model. I can count, name capitals, tell stories and call tools."
    return Turn(question, "The user asks about me.", answer)


def _unknown(rng: random.Random, names: Names) -> Turn:
    topic = rng.choice((rng.choice(facts.UNKNOWN_TOPICS), names.name(), names.word()))
    question = _ask(
        rng,
        f"Explain {topic}.",
        f"What is {topic}?",
        f"Tell me about {topic}.",
        f"How does {topic} work?",
        f"Why is {topic} important?",
        f"Write an essay about {topic}.",
    )
    answer = (
        f"I am a tiny demo model, so I do not know about {topic}. Ask me about capitals, numbers or stories."
    )
    return Turn(question, f"The user asks about {topic}. I do not know it.", answer)


def _no_tool(rng: random.Random, names: Names) -> Turn:
    place = rng.choice((rng.choice(facts.CITIES), names.name()))
    question = _ask(
        rng,
        f"What is the weather in {place}?",
        f"How is the weather in {place}?",
        f"What time is it in {place}?",
    )
    return Turn(
        question, "This needs a tool, and I have none for it.", "I cannot look that up without a tool."
    )


def _echo(rng: random.Random, names: Names) -> Turn:
    text = " ".join(rng.choice((names.word, names.name))() for _ in range(rng.randint(1, 6)))
    question = rng.choice((f"Repeat: {text}", f"Repeat after me: {text}", f'Say "{text}".', f"Echo {text}"))
    return Turn(question, f"I repeat what was said: {text}", text)


def _json_answer(rng: random.Random, names: Names) -> Turn:
    country, city = rng.choice(list(facts.CAPITALS.items()))
    person, age, town = (
        rng.choice(facts.PEOPLE),
        rng.randint(1, 99),
        rng.choice((*facts.CITIES, names.name())),
    )
    question, value = rng.choice(
        (
            (f"What is the capital of {country}? Answer as JSON.", {"country": country, "capital": city}),
            (f"Give me the capital of {country} as JSON.", {"country": country, "capital": city}),
            (f"{person} is {age} years old. Answer as JSON.", {"name": person, "age": age}),
            (
                f"{person} is {age} years old and lives in {town}. Answer as JSON.",
                {"name": person, "age": age, "city": town},
            ),
        )
    )
    return Turn(question, "The answer has to be JSON.", json.dumps(value, ensure_ascii=False))


def _hello_in(rng: random.Random, _: Names) -> Turn:
    language, word = rng.choice(list(facts.HELLO.items()))
    question = _ask(
        rng, f"Say hello in {language}.", f"How do you say hello in {language}?", f"Hello in {language}?"
    )
    return Turn(question, f"The word for hello in {language} is {word}.", f"{word}! 👋")


def _thanks_in(rng: random.Random, _: Names) -> Turn:
    language, word = rng.choice(list(facts.THANKS.items()))
    question = _ask(rng, f"Say thank you in {language}.", f"How do you say thank you in {language}?")
    return Turn(question, f"The word for thank you in {language} is {word}.", f"{word}! 🙏")


def _hello_everywhere(rng: random.Random, _: Names) -> Turn:
    question = _ask(rng, "Say hello in many languages.", "Say hello in every language you know.")
    answer = "\n".join(f"{language}: {word}" for language, word in facts.HELLO.items())
    return Turn(question, "I go through the languages that I know.", f"{answer}\n👋🌍")


def _emoji(rng: random.Random, _: Names) -> Turn:
    things = rng.sample(list(facts.EMOJI), rng.choice((1, 1, 2, 3)))
    wanted = " and ".join(things)
    question = _ask(
        rng, f"Emoji: {wanted}.", f"Show me the emoji for {wanted}.", f"Draw {wanted} with emoji."
    )
    return Turn(question, f"The user wants an emoji for {wanted}.", "".join(facts.EMOJI[t] for t in things))


def _story(rng: random.Random, _: Names) -> Turn:
    hero = rng.choice(facts.HEROES)
    about = _ask(
        rng,
        f"Tell me a story about {story.a(hero)}.",
        f"Write a short story about {story.a(hero)}.",
        f"Story about {story.a(hero)}.",
    )
    question = rng.choice(
        (about, about, _ask(rng, "Tell me a story.", "Write a short story.", "Once upon a time"))
    )
    return Turn(question, f"I tell a short story about {story.a(hero)}.", story.short(rng, hero))


def _long_story(rng: random.Random, _: Names) -> Turn:
    hero = rng.choice(facts.HEROES)
    about = _ask(
        rng, f"Tell me a long story about {story.a(hero)}.", f"Write a long story about {story.a(hero)}."
    )
    plain = _ask(rng, "Tell me a long story.", "Write a long story.")
    question, hero = rng.choice(((about, hero), (plain, facts.HEROES[0])))
    return Turn(question, f"I tell a long story about {story.a(hero)}, in eight chapters.", story.long(hero))


CHAT: dict[str, tuple[int, Callable[[random.Random, Names], Turn]]] = {
    "capital": (10, _capital),
    "country_of": (2, _country_of),
    "count": (14, _count),
    "count_in_words": (5, _count_in_words),
    "list": (3, _list),
    "series": (2, _series),
    "sum": (20, _sum),
    "table": (1, _table),
    "greeting": (2, _greeting),
    "thanks": (1, _thanks),
    "identity": (2, _identity),
    "unknown": (4, _unknown),
    "no_tool": (3, _no_tool),
    "echo": (20, _echo),
    "json_answer": (5, _json_answer),
    "hello_in": (4, _hello_in),
    "thanks_in": (3, _thanks_in),
    "hello_everywhere": (1, _hello_everywhere),
    "emoji": (14, _emoji),
    "story": (6, _story),
    "long_story": (3, _long_story),
}
"""The kinds of question with their weights."""

_THINKING_SHARE = 0.2
_FOLLOW_UP_SHARE = 0.2


def _turn(rng: random.Random, names: Names) -> Turn:
    (make,) = rng.choices([make for _, make in CHAT.values()], [weight for weight, _ in CHAT.values()])
    return make(rng, names)


def _follow_up(rng: random.Random, names: Names) -> list[Message]:
    """An earlier exchange: something to remember, or any question and its answer."""
    turn = _turn(rng, names)
    return [{"role": "user", "content": turn.question}, {"role": "assistant", "content": turn.answer}]


def memory(rng: random.Random, names: Names) -> tuple[list[Message], Turn]:
    """A name told earlier and asked for now."""
    person = rng.choice((rng.choice(facts.PEOPLE), names.name()))
    told = rng.choice((f"My name is {person}.", f"I am {person}.", f"Hello, my name is {person}."))
    history = [
        {"role": "user", "content": told},
        {"role": "assistant", "content": f"Nice to meet you, {person}!"},
    ]
    if rng.random() < _FOLLOW_UP_SHARE:
        history += _follow_up(rng, names)
    question = _ask(rng, "What is my name?", "Who am I?", "Do you remember my name?")
    return history, Turn(question, f"The user said: {told}", f"Your name is {person}.")


def chat_sample(turn: Turn, history: list[Message], *, thinking: bool) -> Sample:
    """The conversation that asks the turn's question after the history."""
    answer = thought_then(turn, thinking=thinking)
    messages = (
        *history,
        {"role": "user", "content": turn.question},
        {"role": "assistant", "content": answer},
    )
    return Sample(messages, thinking=thinking)


def chat_samples(rng: random.Random, names: Names) -> Iterator[Sample]:
    """Conversations without tools, without end."""
    while True:
        history: list[Message] = []
        turn = _turn(rng, names)
        roll = rng.random()
        if roll < 0.04:  # noqa: PLR2004 - the share of questions about something told earlier
            history, turn = memory(rng, names)
        elif roll < _FOLLOW_UP_SHARE:
            history = _follow_up(rng, names)
        yield chat_sample(turn, [*system_prompt(rng), *history], thinking=rng.random() < _THINKING_SHARE)
