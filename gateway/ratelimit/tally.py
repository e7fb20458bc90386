"""What limits did, as plain numbers. They become metrics when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ratelimit.demand import INPUT, OUTPUT, Demand
from gateway.ratelimit.plan import Source


class Tally:
    """Counts since the start. `refusals` and `shadowed` are by level and kind, both of closed sets."""

    __slots__ = (
        "refusals",
        "reserved_input",
        "reserved_output",
        "settled_input",
        "settled_output",
        "shadowed",
    )

    def __init__(self) -> None:
        self.refusals: dict[tuple[str, str, str], int] = {}
        """By level, kind and reason: `no_room`, or `too_large` for what could never fit."""
        self.shadowed: dict[tuple[str, str], int] = {}
        self.reserved_input = self.reserved_output = 0
        """Tokens of prompts and of answers, as calls took them before they were sent."""
        self.settled_input = self.settled_output = 0
        """The same as they were counted in the end."""

    def refuse(self, source: Source, reason: str) -> None:
        """One call was refused."""
        key = (source.level.value, source.kind.name, reason)
        self.refusals[key] = self.refusals.get(key, 0) + 1

    def shadow(self, sources: Sequence[Source]) -> None:
        """One call was let in that rules in shadow would have refused."""
        for source in sources:
            key = (source.level.value, source.kind.name)
            self.shadowed[key] = self.shadowed.get(key, 0) + 1

    def settle(self, worst: Demand, used: Demand) -> None:
        """One call is over."""
        self.reserved_input += worst[INPUT]
        self.reserved_output += worst[OUTPUT]
        self.settled_input += used[INPUT]
        self.settled_output += used[OUTPUT]
