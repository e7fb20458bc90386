"""The counts of a set of rules, and the part of a command that is the same for every call under them."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ratelimit.base import Rule
from gateway.ratelimit.shared.count import Count


def word(text: bytes) -> bytes:
    """One word of a command."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


class Plan:
    """What is looked up once for `rules`."""

    __slots__ = ("counts", "head", "limits", "rules", "shares", "shares_of", "words")

    def __init__(self, rules: Sequence[Rule], counts: Sequence[Count]) -> None:
        self.rules = rules
        self.counts = tuple(counts)
        self.limits = tuple(rule.limit for rule in rules)
        spec = " ".join(
            f"{count.kind} {rule.limit} {count.period_ms} {int(rule.shadow)}"
            for rule, count in zip(rules, counts, strict=True)
        )
        keys = b"".join(word(count.name) for count in counts)
        self.head = word(b"%d" % len(self.counts)) + keys + word(spec.encode())
        self.words = len(self.counts) + 2
        self.shares: Sequence[Rule] = ()
        """The rules under which this gateway is alone, for the population `shares_of`."""
        self.shares_of: object = None
