"""How far off it is what engines say of their caches, and whether a guess by what was sent would be nearer.

An engine counts for each call what it found in its cache. Both are compared with that. What engines say is exact where the
gateway makes the same tokens of a prompt as the engine does; where it does not - another template, pictures, a version that
does things otherwise - it is worth nothing, and the guesses are gone by until it is right again.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.outcome import Usage
from gateway.fleet.replica import Replica

WORSE, BETTER = 1.25, 1.0
"""Times the error of the guesses from which on what engines say is not gone by any more, and below which it is again."""
ENOUGH = 16
"""Calls before a judgement, and the memory of it."""
FORGIVEN = 0.02
"""Of a prompt: so small a difference is none."""


class Errors:
    """For one model. Shares of the calls' prompts; the sums are for metrics, in tokens."""

    __slots__ = ("_count", "_guessed", "_replicas", "_told", "expected", "found", "off", "prefers_told")

    def __init__(self) -> None:
        self.prefers_told = True
        """Whether to go by what engines say."""
        self.expected = self.found = self.off = 0
        self._count = 0
        self._told = self._guessed = 0.0
        self._replicas: dict[str, tuple[Replica, int, int, float]] = {}

    def __repr__(self) -> str:
        return f"<Errors told {self._told:.0%}, guessed {self._guessed:.0%}>"

    def take(self, replica: Replica, told: int, guessed: int, usage: Usage) -> None:
        """A call is over: so much was said, and so much guessed, to be in the cache of `replica`."""
        if usage.prompt_tokens <= 0:
            return
        found = usage.cached_tokens
        off, guess_off = abs(told - found) / usage.prompt_tokens, abs(guessed - found) / usage.prompt_tokens
        self.expected += told
        self.found += found
        self.off += abs(told - found)
        self._count += 1
        weight = 1 / min(self._count, ENOUGH)
        self._told += (off - self._told) * weight
        self._guessed += (guess_off - self._guessed) * weight
        self._take_of(replica, off)
        if self._count < ENOUGH:
            return
        if self.prefers_told and self._told > self._guessed * WORSE + FORGIVEN:
            self.prefers_told = False
        elif not self.prefers_told and self._told <= self._guessed * BETTER + FORGIVEN / 2:
            self.prefers_told = True

    def of_replicas(self) -> dict[str, float]:
        """Each replica's error of late, as a share of prompts, since its engine started."""
        return {name: error for name, (_, _, _, error) in self._replicas.items()}

    def keep(self, replicas: Sequence[Replica]) -> None:
        """Forget those that are not among `replicas`."""
        names = {replica.endpoint.id for replica in replicas}
        for name in [name for name in self._replicas if name not in names]:
            del self._replicas[name]

    def _take_of(self, replica: Replica, off: float) -> None:
        known = self._replicas.get(replica.endpoint.id)
        if known is None or known[0] is not replica or known[1] != replica.epoch:
            known = (replica, replica.epoch, 0, 0.0)
        count, error = known[2] + 1, known[3]
        error += (off - error) / min(count, ENOUGH)
        self._replicas[replica.endpoint.id] = (replica, replica.epoch, count, error)
