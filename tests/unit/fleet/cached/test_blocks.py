"""What one engine has: whose it is, what goes with what, and that it does not grow without bound."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.fleet.cached import ROOT, Blocks, extended
from gateway.fleet.cached import blocks as module
from gateway.fleet.cached.events import read_batch
from tests.support.publishing import batch, removed, stored

PROMPT = list(range(12))


def chain_of(tokens: list[int], size: int = 4) -> list[int]:
    chain, last = [], ROOT
    for at in range(0, len(tokens) // size * size, size):
        last = extended(last, tuple(tokens[at : at + size]))
        chain.append(last)
    return chain


def after(*events: dict[str, Any]) -> Blocks:
    blocks = Blocks()
    blocks.take(read_batch(batch(*events)))
    return blocks


def test_a_prompt_matches_as_far_as_its_tokens_are_the_same() -> None:
    blocks = after(stored([1, 2], PROMPT[:8]), stored([3], PROMPT[8:], parent=2))
    for most in range(4):
        other = PROMPT[: most * 4] + [99] * 8
        assert blocks.matched((None, None), chain_of(other)) == most
    assert blocks.matched((None, None), []) == 0


def test_each_salt_and_each_adapter_has_blocks_of_its_own() -> None:
    blocks = after(stored([1], PROMPT[:4], salt="a"), stored([2], PROMPT[:4], salt="a", adapter="fine"))
    chain = chain_of(PROMPT)
    assert blocks.matched((None, "a"), chain) == 1
    assert blocks.matched(("fine", "a"), chain) == 1
    assert blocks.matched((None, None), chain) == blocks.matched((None, "b"), chain) == 0
    blocks.take(read_batch(batch(removed(1))))
    assert (blocks.matched((None, "a"), chain), blocks.matched(("fine", "a"), chain)) == (0, 1)


def test_what_is_dropped_is_not_there_and_a_second_copy_is() -> None:
    blocks = after(stored([1, 2], PROMPT[:8]), stored([2], PROMPT[4:8], parent=1))
    blocks.take(read_batch(batch(removed(2))))
    assert blocks.matched((None, None), chain_of(PROMPT)) == 2
    blocks.take(read_batch(batch(removed(2))))
    assert blocks.matched((None, None), chain_of(PROMPT)) == 1
    blocks.take(read_batch(batch({"type": "AllBlocksCleared"})))
    assert blocks.matched((None, None), chain_of(PROMPT)) == len(blocks) == 0


def test_a_picture_in_a_block_is_not_mistaken_for_its_text() -> None:
    with_picture = stored([1], PROMPT[:4]) | {"extra_keys": [[["picture", 0], "a"]]}
    blocks = after(with_picture)
    assert len(blocks) == 1
    assert blocks.matched((None, "a"), chain_of(PROMPT)) == 0


@pytest.mark.parametrize(
    "event",
    [
        stored([5], PROMPT[:4], parent=4),
        stored([5, 6], PROMPT[:4]),
        stored([5], PROMPT[:4], medium="STORAGE"),
        stored([5], PROMPT[:4], group_idx=1),
        stored([5], [], size=0),
    ],
    ids=["orphan", "torn", "elsewhere", "another layer's", "no size"],
)
def test_what_cannot_be_placed_is_not_known(event: dict[str, Any]) -> None:
    assert len(after(event)) == 0


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BLOCKS", 2)
    blocks = after(stored([1, 2, 3], PROMPT))
    assert (len(blocks), blocks.dropped) == (2, 1)
    assert blocks.matched((None, None), chain_of(PROMPT)) == 2
