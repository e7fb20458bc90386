"""What limits are counted with: the seam between who decides and who counts.

A `Rule` is one limit for one party, `Counters` is where its count is kept: in this process, or shared between several.
Counting is by taking and settling. The most that a call may use is taken before it starts, all rules at once or none,
and settled with what it used when it is over: a check that is not the taking lets every call pass that arrives between
the two.

Amounts are counted at the moment of the taking, whenever they are settled. The promise of every implementation: at no
moment has a rule taken more than its limit in the time that its `period` names, wherever that time begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from gateway.ratelimit.account import Account


class Unit(StrEnum):
    """What a rule counts."""

    REQUESTS = "requests"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    TOKENS = "tokens"
    """Input and output together."""
    COST = "cost"
    """Millionths of the currency that prices are in."""
    SLOTS = "slots"
    """Calls that run or wait now."""


class Calendar(StrEnum):
    """A stretch of the calendar in UTC, from its first moment to the next one's."""

    DAY = "day"
    MONTH = "month"


class Rule(NamedTuple):
    """One limit of one party."""

    key: str
    """Names what is counted and for whom: `team:research|model:tiny|requests|60`. Rules with one key share one count,
    whatever their limits: a limit that an operator changes goes on from what was counted."""
    unit: Unit
    limit: int
    period: float | Calendar | None
    """A window of so many seconds that moves with time, or a stretch of the calendar. `None` for `SLOTS`: there is no
    time in them."""
    shadow: bool = False
    """Counted and told of, but refuses nobody."""

    @property
    def is_budget(self) -> bool:
        """Whether to wait is no answer: what is used up comes back with the next day or month."""
        return isinstance(self.period, Calendar)


class Taken(NamedTuple):
    """What was asked for is taken. Its holder calls `settle` once, at the end, also when it needs nothing of it."""

    left: Sequence[int]
    """What each rule has left after this, in the order of the rules; for `exceeded` ones, what it had before."""
    settle: Callable[[Sequence[int]], None]
    """Takes what was used, in the order of the rules: the rest is given back, and what is more is counted as well.
    Slots are given back whole. What was taken in a time that is over stays there."""
    exceeded: Sequence[Rule] = ()
    """Shadow rules that would have refused. Nothing was counted for them, as if they had."""


class Refused(NamedTuple):
    """Nothing was taken: `rule` has no room, and of those that have none it is the last to have some again."""

    rule: Rule
    after: float
    """Seconds from now after which it would fit, if nothing else is taken. A guess for slots."""


class Unavailable(NamedTuple):
    """Nothing was taken: the counters cannot be asked now, and the operator wants no guesses."""

    after: float
    """Seconds from now after which to ask again."""


class Pending(NamedTuple):
    """An answer that is not there yet. The taker gets it later on the event loop, never from inside `take`."""

    cancel: Callable[[], None]
    """The taker is told nothing after this; what may be taken for it is given back."""


class Taker(Protocol):
    """Who waits for a `Pending`. Exactly one of the two is called, once, and none after `Pending.cancel`."""

    def taken(self, taken: Taken) -> None:
        """It is yours; you settle it."""
        ...

    def refused(self, refused: Refused | Unavailable) -> None:
        """There is none."""
        ...


class Counters(Protocol):
    """Where counts are kept. Its methods are synchronous and do no I/O."""

    def account(self, rules: Sequence[Rule]) -> Account | None:
        """What takes of `rules` with nothing to look up or to wait for; `None` where only `take` does."""
        ...

    def take(
        self, rules: Sequence[Rule], amounts: Sequence[int], taker: Taker
    ) -> Taken | Refused | Unavailable | Pending:
        """Take `amounts[i]` of `rules[i]`, of all or of none, in one step.

        The keys of `rules` differ, amounts are not negative and no amount is larger than its rule's limit, shadow rules
        aside: what can never fit is the caller's to tell. `rules` may be the same object for many calls, which an
        implementation may use to look things up once.
        """
        ...

    def seed(self, rule: Rule, used: int) -> None:
        """Count at least `used` for `rule` in the present stretch of the calendar: what records say it has used."""
        ...
