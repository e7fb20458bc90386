"""Which blocks one engine has in its prefix cache, by its own word.

Those who share prompts with each other (their salt) and each adapter have blocks of their own, as in the engine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from gateway.fleet.cached.chain import ROOT, extended
from gateway.fleet.cached.events import (
    AllBlocksCleared,
    Batch,
    BlockHash,
    BlockRemoved,
    BlockStored,
)

MOST_BLOCKS = 262_144
"""Of one engine: four million tokens at 16 a block. About 350 bytes each; what comes beyond is not known."""
SOON_SECONDS = 5.0
"""How long a block is taken for stored after a prompt with it was sent, until the engine says so."""
MOST_SOON = 8192
_FIRST_GROUP = (None, 0)
_IN_REACH = frozenset({None, "GPU"})
"""Where a block has to be to count: vLLM calls the memory that it computes in GPU, on every machine. Fetching offloaded
blocks is not free, so they are not counted."""

_NONE: frozenset[int] = frozenset()

Sharing = tuple[str | None, str | None]
"""Adapter and salt."""


class Blocks:
    """All that one engine has. `size`: tokens of a block, 0 until one was named."""

    __slots__ = ("_copies", "_groups", "_soon", "_where", "adapters", "dropped", "size")

    def __init__(self) -> None:
        self.size = 0
        self.dropped = 0
        """Blocks that were named and could not be known: after one we never heard of, or beyond the bound."""
        self.adapters: set[str] = set()
        self._where: dict[BlockHash, tuple[Sharing, int]] = {}
        self._groups: dict[Sharing, set[int]] = {}
        self._copies: dict[BlockHash, int] = {}
        """Of blocks that the engine has more than once, how many more: two calls may compute the same."""

        self._soon: OrderedDict[tuple[Sharing, int], float] = OrderedDict()
        """What was sent and not told of yet, and until when it is waited for: the first ends first."""

    def __repr__(self) -> str:
        return f"<Blocks {len(self._where)} of {self.size} tokens>"

    def __len__(self) -> int:
        return len(self._where)

    def clear(self) -> None:
        """Know of none."""
        self._where.clear()
        self._groups.clear()
        self._copies.clear()
        self._soon.clear()

    def take(self, batch: Batch) -> None:
        """Take in what one step of the engine did."""
        for event in batch.events:
            if isinstance(event, BlockStored):
                self._stored(event)
            elif isinstance(event, BlockRemoved):
                self._removed(event)
            elif isinstance(event, AllBlocksCleared):
                self.clear()

    def sent(self, sharing: Sharing, chain: Sequence[int], now: float) -> None:
        """The engine is sent a prompt of these blocks: it will have them in a moment, and others that come may count on it."""
        known, soon = self._groups.get(sharing, _NONE), self._soon
        for number in chain:
            if number not in known:
                soon[sharing, number] = now + SOON_SECONDS
                soon.move_to_end((sharing, number))
        while len(soon) > MOST_SOON:
            soon.popitem(last=False)

    def matched(self, sharing: Sharing, chain: Sequence[int], now: float = 0.0) -> int:
        """How many of the first blocks of `chain` the engine has, or was just sent."""
        known, soon = self._groups.get(sharing, _NONE), self._soon
        while soon and next(iter(soon.values())) <= now:
            soon.popitem(last=False)
        if not chain or (chain[0] not in known and (sharing, chain[0]) not in soon):
            return 0

        def has(number: int) -> bool:
            return number in known or (sharing, number) in soon

        if has(chain[-1]):
            return len(chain)
        # An engine drops the last blocks of a prompt before the first: what is there begins at the beginning.
        low, high = 1, len(chain) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if has(chain[middle - 1]):
                low = middle
            else:
                high = middle - 1
        return low

    def _stored(self, event: BlockStored) -> None:
        size = event.block_size
        if event.group_idx not in _FIRST_GROUP or event.medium not in _IN_REACH or size <= 0:
            return
        if len(event.token_ids) != size * len(event.block_hashes):
            self.dropped += len(event.block_hashes)
            return
        self.size = size
        sharing, last = self._place(event)
        if sharing is None:
            self.dropped += len(event.block_hashes)
            return
        group = self._groups.get(sharing)
        if group is None:
            group = self._groups[sharing] = set()
        extras = event.extra_keys or ()
        for at, name in enumerate(event.block_hashes):
            other = _other(extras[at]) if at < len(extras) and extras[at] else None
            last = extended(last, tuple(event.token_ids[at * size : (at + 1) * size]), other)
            if name in self._where:
                self._copies[name] = self._copies.get(name, 0) + 1
                continue
            if len(self._where) >= MOST_BLOCKS:
                self.dropped += len(event.block_hashes) - at
                return
            self._where[name] = (sharing, last)
            group.add(last)

    def _place(self, event: BlockStored) -> tuple[Sharing | None, int]:
        """Whose the blocks are, and the number of the block before them."""
        if event.parent_block_hash is not None:
            return self._where.get(event.parent_block_hash, (None, ROOT))
        first = event.extra_keys[0] if event.extra_keys else None
        if event.lora_name is not None:
            self.adapters.add(event.lora_name)
        return (event.lora_name, _salt(first, event.lora_name)), ROOT

    def _removed(self, event: BlockRemoved) -> None:
        if event.group_idx not in _FIRST_GROUP or event.medium not in _IN_REACH:
            return
        for name in event.block_hashes:
            copies = self._copies.pop(name, 0)
            if copies:
                if copies > 1:
                    self._copies[name] = copies - 1
                continue
            found = self._where.pop(name, None)
            if found is None:
                continue
            sharing, number = found
            group = self._groups.get(sharing)
            if group is not None:
                group.discard(number)
                if not group:
                    del self._groups[sharing]


def _salt(keys: list[Any] | None, adapter: str | None) -> str | None:
    """The salt among the keys of a first block: the text that is not the adapter's name."""
    texts = [key for key in keys or () if isinstance(key, str)]
    if adapter is not None and texts and texts[0] == adapter:
        texts = texts[1:]
    return texts[0] if texts else None


def _other(keys: list[Any] | None) -> str | None:
    """What there is besides texts: pictures and the like."""
    others = [key for key in keys or () if not isinstance(key, str)]
    return repr(others) if others else None
