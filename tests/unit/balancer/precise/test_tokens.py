"""Texts to blocks: the same tokens however much was remembered, and a bound on what is made at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gateway.balancer.precise import tokens as module
from gateway.balancer.precise.tokens import AT_ONCE, STRETCH, Tokens
from gateway.fleet.cached import ROOT, extended

SPECIAL = ("<s>", "</s>")
SHORT = "<s>user\nHello</s><s>assistant\n"
LONG = "<s>system\n" + "".join(f"Line {at} of many words.\n" for at in range(300)) + "</s>"


def one_each(texts: Sequence[str]) -> list[list[int]]:
    """A token for each character."""
    return [[ord(character) for character in text] for text in texts]


class Aside:
    """Work that is done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Callable[[Any], object]]] = []

    def run(self, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        self.waiting.append((work, done))

    def do(self) -> int:
        waiting, self.waiting = self.waiting, []
        for work, done in waiting:
            done(work())
        return len(waiting)


def tokens(aside: Aside, *, cuts_lines: bool = True, made: list[str] | None = None) -> Tokens:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        if made is not None:
            made.extend(texts)
        return one_each(texts)

    return Tokens(encode, SPECIAL, aside.run, cuts_lines=cuts_lines)


def chain_of(text: str, size: int, first: tuple[int, ...] = ()) -> list[int]:
    ids, chain, last = [*first, *one_each([text])[0]], [], ROOT
    for at in range(0, len(ids) // size * size, size):
        last = extended(last, tuple(ids[at : at + size]))
        chain.append(last)
    return chain


@pytest.mark.parametrize("text", [SHORT, LONG, "no special ones", ""])
@pytest.mark.parametrize("size", [1, 4, 16])
@pytest.mark.parametrize("first", [(), (7,)])
def test_the_blocks_are_those_of_the_whole_text(text: str, size: int, first: tuple[int, ...]) -> None:
    aside = Aside()
    known = tokens(aside)
    known.read(text, size, first)
    aside.do()
    prompt = known.read(text, size, first)
    assert prompt.chain == chain_of(text, size, first)
    assert (prompt.tokens, prompt.is_whole) == (len(text) + len(first), True)


def test_what_is_shared_is_made_into_tokens_once() -> None:
    made: list[str] = []
    known = tokens(Aside(), made=made)
    known.read(SHORT, 4)
    before = len(made)
    known.read(SHORT + "Hi</s>", 4)
    assert made[before:] == ["<s>assistant\nHi", "</s>"]


def test_more_than_a_little_that_is_new_is_made_aside() -> None:
    aside, made = Aside(), []
    known = tokens(aside, made=made)
    prompt = known.read(LONG, 16)
    assert not prompt.is_whole
    assert prompt.chain == chain_of(LONG, 16)[: len(prompt.chain)]
    assert sum(map(len, made)) <= AT_ONCE
    known.read(LONG, 16)
    assert aside.do() == 1  # it was asked for once
    assert known.read(LONG, 16).chain == chain_of(LONG, 16)


def test_a_long_text_is_cut_where_lines_begin_and_only_if_that_may_be() -> None:
    cut, whole = tokens(Aside())._pieces(LONG), tokens(Aside(), cuts_lines=False)._pieces(LONG)
    assert "".join(cut) == "".join(whole) == LONG
    assert len(cut) > len(whole) == 2
    assert all(piece.startswith("Line") for piece in cut[1:-1])
    assert max(map(len, cut)) < STRETCH + 40


def test_the_beginning_of_a_long_text_is_known_to_another_that_begins_alike() -> None:
    aside = Aside()
    known = tokens(aside)
    known.read(LONG, 16)
    aside.do()
    other = LONG[:6000] + "something else"
    prompt = known.read(other, 16)
    assert len(prompt.chain) * 16 > 4500
    assert prompt.chain == chain_of(other, 16)[: len(prompt.chain)]


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TEXT", 500)
    monkeypatch.setattr(module, "MOST_ASIDE", 2)
    aside = Aside()
    known = tokens(aside)
    for at in range(100):
        known.read(f"<s>{at} and so on and on</s>", 4)
    assert known._held <= 500
    assert known._held == sum(len(text) for _, text in known._nodes)
    for at in range(10):
        known.read(f"{at}" + LONG, 4)
    assert len(aside.waiting) == 2


def test_a_prompt_of_tokens_needs_no_text() -> None:
    prompt = tokens(Aside()).of_ids([ord(c) for c in SHORT], 4)
    assert prompt.chain == chain_of(SHORT, 4)
