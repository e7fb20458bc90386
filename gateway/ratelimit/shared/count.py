"""What this gateway knows of one count that it shares: its stock, what it holds, and how busy it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from gateway.ratelimit.base import Calendar, Rule

STOCK_S: Final = 0.25
"""For so long stock is good. What is left of it then goes back."""
STOCK_PART: Final = 8
"""Stock of a window is good for one part in so many of its period at most."""
BUSY: Final = 20.0
"""Takes a second from which a count is worth a stock."""
_LOOK_S: Final = 0.05
_BUCKETS: Final = 60
_BUCKETS_TOLD: Final = 10
"""What is taken of a window without the server is told by so many buckets together, in the last of them: a little too
long is safe, and a long outage leaves few amounts to tell. Less than by how much `take.lua` looks ahead."""
_KINDS: Final = {Calendar.DAY: "d", Calendar.MONTH: "m", None: "s"}
TAG: Final = "{cascadia}"
"""In every key, so that a Cluster keeps all of them on one node: one call takes of many counts, in one step."""


class Count:
    """One count. All amounts are in the rule's unit; times are monotonic seconds."""

    __slots__ = (
        "_amount_rate",
        "_asked",
        "_spent",
        "_takes",
        "bucket",
        "held",
        "kind",
        "left",
        "left_at",
        "limit",
        "name",
        "period_ms",
        "rate",
        "stock",
        "stock_s",
        "until",
        "used",
        "used_at",
    )

    def __init__(self, rule: Rule, now: float) -> None:
        self.kind = _KINDS[rule.period] if not isinstance(rule.period, float | int) else "w"
        self.period_ms = round(rule.period * 1000) if isinstance(rule.period, float | int) else 0
        self.name = f"{TAG}:{self.kind}{self.period_ms or ''}:{rule.key}".encode()
        self.stock_s = min(STOCK_S, self.period_ms / 1000 / STOCK_PART) if self.period_ms else STOCK_S
        self.limit = rule.limit
        """Under which the stock was given."""
        self.stock = 0
        """Taken from the server, and not by any call yet."""
        self.until = 0.0
        """When the stock is no good any more."""
        self.bucket = 0
        """Where the server counts the stock."""
        self.held = 0
        """Of slots: all that the server counts for this gateway, the stock too."""
        self.left: int | None = None
        """In the whole, as last heard, less what was used since."""
        self.left_at = now
        self.used: tuple[int, int] | None = None
        """The day or month that the server last told of, by its number, and what was used in it."""
        self.used_at = now
        self.rate = 0.0
        """Takes a second."""
        self._amount_rate = 0.0
        self._asked = now
        self._takes = 0
        self._spent = 0

    def bucket_at(self, wall: float) -> int:
        """Where the server counts what is taken at `wall`, in Unix seconds, by a clock that goes as its own."""
        if self.kind == "d":
            return int(wall // 86_400)
        if self.kind == "m":
            at = datetime.fromtimestamp(wall, UTC)
            return at.year * 12 + at.month - 1
        if self.kind == "s":
            return 0
        bucket = int(wall * 1000) // -(-self.period_ms // _BUCKETS)
        return -(-bucket // _BUCKETS_TOLD) * _BUCKETS_TOLD

    def is_of_now(self, at: float, now: float, wall: float) -> bool:
        """Whether what was counted at `at` still is, at `now` by the same clock, which is `wall` in Unix seconds."""
        if self.kind == "w":
            return now - at <= self.period_ms / 1000
        return self.bucket_at(wall - (now - at)) == self.bucket_at(wall)

    def note(self, amount: int) -> None:
        """A call took of it."""
        self._takes += 1
        self._spent += amount

    def wants(self, now: float) -> int:
        """How much stock would be used up while it is good; 0 where few calls come."""
        passed = now - self._asked
        if passed >= _LOOK_S:
            share = min(1.0, passed / STOCK_S)
            self.rate += share * (self._takes / passed - self.rate)
            self._amount_rate += share * (self._spent / passed - self._amount_rate)
            self._asked, self._takes, self._spent = now, 0, 0
        return int(self._amount_rate * self.stock_s) if self.rate >= BUSY else 0
