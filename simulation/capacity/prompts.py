"""What requests say: texts in segments, which several requests may have in common.

A token is four bytes of text. The engine model does not read texts: it knows a prompt by its segments, and so
which prompts begin alike.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

_PER_PATH = 1 << 24
"""More blocks than any context has."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One message. `path` stands for it and everything before it."""

    role: str
    path: int
    tokens: int

    def text(self) -> str:
        """Text of so many tokens that no other segment has."""
        return f"{self.path:07x} " * (self.tokens // 2) + "and " * (self.tokens % 2)


class Paths:
    """Numbers what segments follow on what others."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> int:
        """A number that nothing had before."""
        self._last += 1
        return self._last


@dataclass(frozen=True)
class Prompt:
    """Segments in a row, and the number of the answer that will follow."""

    segments: tuple[Segment, ...]
    answer_path: int
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", sum(segment.tokens for segment in self.segments))

    @cached_property
    def _ends(self) -> list[int]:
        ends, end = [], 0
        for segment in self.segments:
            end += segment.tokens
            ends.append(end)
        return ends

    def key(self, block: int, block_tokens: int) -> int:
        """The key of the full block number `block`, of the prompt or of the answer after it."""
        at = bisect_right(self._ends, (block + 1) * block_tokens - 1)
        path = self.segments[at].path if at < len(self.segments) else self.answer_path
        return path * _PER_PATH + block

    def keys(self, tokens: int, block_tokens: int) -> list[int]:
        """The keys of all full blocks among the first `tokens`."""
        keys: list[int] = []
        count = tokens // block_tokens
        for end, segment in zip(self._ends, self.segments, strict=True):
            last = min(end // block_tokens, count)
            base = segment.path * _PER_PATH
            keys.extend(range(base + len(keys), base + last))
        base = self.answer_path * _PER_PATH
        keys.extend(range(base + len(keys), base + count))
        return keys
