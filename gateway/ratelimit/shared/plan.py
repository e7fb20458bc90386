"""The counts of a set of rules, and the part of a command that is the same for every call under them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ratelimit.base import Rule
from gateway.ratelimit.shared.count import TAG, Count
from gateway.ratelimit.shared.link import Population

BORN = f"{TAG}:born".encode()
"""Since when the server has had a memory of us."""


def share_of(limit: int, population: Population) -> int:
    """What one gateway may use of `limit` by itself.

    Who does not know which of them it is leaves the rest of the division to nobody. It has one at least: nobody tells it
    that others have them all.
    """
    gateways, rank = population
    each, over = divmod(limit, gateways)
    if rank is None:
        return max(1, each)
    return each + (rank % gateways < over)


def word(text: bytes) -> bytes:
    """One word of a command."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


class Plan:
    """What is looked up once for `rules`."""

    __slots__ = ("_shares", "_shares_of", "counts", "head", "limits", "rules", "words")

    def __init__(self, rules: Sequence[Rule], counts: Sequence[Count]) -> None:
        self.rules = rules
        self.counts = tuple(counts)
        self.limits = tuple(rule.limit for rule in rules)
        spec = " ".join(
            f"{count.kind} {rule.limit} {count.period_ms} {int(rule.shadow)}"
            for rule, count in zip(rules, counts, strict=True)
        )
        keys = b"".join(word(count.name) for count in counts)
        self.head = word(b"%d" % (len(self.counts) + 1)) + keys + word(BORN) + word(spec.encode())
        self.words = len(self.counts) + 3
        self._shares: Sequence[Rule] = ()
        self._shares_of: Population | None = None

    def shares(self, population: Population) -> Sequence[Rule]:
        """The rules with what this gateway may use by itself as their limits."""
        if self._shares_of != population:
            self._shares_of = population
            self._shares = tuple(rule._replace(limit=share_of(rule.limit, population)) for rule in self.rules)
        return self._shares
