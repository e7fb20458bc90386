"""No window of a rule's period ever holds more than its limit, whatever happens in whatever order, and nothing stays held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from gateway.ratelimit.base import Calendar, Refused, Rule, Taken, Unit
from gateway.ratelimit.calendar import stretch_of
from gateway.ratelimit.counts import SLOTS_OF_A_WINDOW
from gateway.ratelimit.memory import MemoryCounters
from tests.support.clock import Clock

WALL = 1_795_564_740.0
"""2026-11-24T23:59:00Z: midnight is near."""
PERIODS = (1.0, 60.0, 7.3)


@dataclass(frozen=True)
class Step:
    """Time passes, something is taken, and something earlier may be settled with a share of what it took."""

    pause: float
    amounts: tuple[int, int, int]
    settles: int | None
    share: float


@dataclass
class Log:
    """What was let in, by rule: when, and how much of it was used."""

    entries: list[tuple[float, list[int]]] = field(default_factory=list)

    def check(self, rule: Rule, amounts_at: int) -> None:
        events = [(at, amounts[amounts_at]) for at, amounts in self.entries]
        for first, (begin, _) in enumerate(events):
            if isinstance(rule.period, Calendar):
                name = stretch_of(rule.period, WALL + begin).name
                inside = [a for at, a in events[first:] if stretch_of(rule.period, WALL + at).name == name]
            else:
                assert rule.period is not None
                inside = [a for at, a in events[first:] if at - begin < rule.period]
            assert sum(inside) <= rule.limit, f"{sum(inside)} of {rule.limit} in one {rule.period}"


Taking = Callable[[Sequence[Rule], Sequence[int]], Taken | Refused]


def run(rules: Sequence[Rule], steps: Sequence[Step], make: Callable[[Clock], Any]) -> None:
    """Play `steps` and check every window after each; at the end all is settled and nothing is held."""
    clock = Clock(0.0)
    counters = make(clock)
    log = Log()
    running: list[tuple[Taken, list[int], list[int]]] = []
    for step in steps:
        clock.advance(step.pause)
        amounts = [min(amount, rule.limit) for amount, rule in zip(step.amounts, rules, strict=False)]
        taken = counters.take(rules, amounts, None)
        if isinstance(taken, Taken):
            entry = list(amounts)
            log.entries.append((clock.now, entry))
            running.append((taken, amounts, entry))
        if step.settles is not None and running:
            end(running.pop(step.settles % len(running)), step.share)
        for index, rule in enumerate(rules):
            if rule.period is not None:
                log.check(rule, index)
            else:
                assert sum(amounts[index] for _, amounts, _ in running) <= rule.limit
    while running:
        end(running.pop(), 0.5)
    for index, rule in enumerate(rules):
        if rule.period is not None:
            log.check(rule, index)
    if isinstance(counters, MemoryCounters):
        assert counters.held() == 0


def end(call: tuple[Taken, list[int], list[int]], share: float) -> None:
    taken, amounts, entry = call
    used = [int(amount * share) for amount in amounts]
    taken.settle(used)
    entry[:] = used


pauses = st.one_of(
    st.just(0.0),
    st.floats(0, 1),
    st.sampled_from([1 / 60, 0.5, 1.0, 7.3, 59.0, 59.999, 60.0, 61.0, 86_400.0]),
)
steps_of = st.lists(
    st.builds(
        Step,
        pauses,
        st.tuples(st.integers(0, 3), st.integers(0, 700), st.integers(0, 2)),
        st.one_of(st.none(), st.integers(0, 50)),
        st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    ),
    max_size=60,
)


@st.composite
def rules_of(draw: st.DrawFn) -> list[Rule]:
    period = draw(st.sampled_from([*PERIODS, Calendar.DAY, Calendar.MONTH]))
    return [
        Rule("a|requests", Unit.REQUESTS, draw(st.integers(1, 8)), draw(st.sampled_from(PERIODS))),
        Rule("a|tokens", Unit.TOKENS, draw(st.integers(1, 2000)), period),
        Rule("a|slots", Unit.SLOTS, draw(st.integers(1, 4)), None),
    ]


def memory(clock: Clock) -> MemoryCounters:
    return MemoryCounters(clock=clock, wall=lambda: WALL + clock.now)


@settings(max_examples=400, deadline=None)
@given(rules_of(), steps_of)
def test_no_window_holds_more_than_the_limit(rules: list[Rule], steps: list[Step]) -> None:
    run(rules, steps, memory)


# --- the same check catches what does it the usual ways


class CheckThenAdd:
    """Looks whether there is room, and counts when the call is over."""

    def __init__(self, clock: Clock) -> None:
        self.used: dict[str, int] = {}

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: object) -> Taken | Refused:
        for rule, amount in zip(rules, amounts, strict=True):
            if self.used.get(rule.key, 0) + amount > rule.limit:
                return Refused(rule, 1.0)

        def settle(used: Sequence[int]) -> None:
            for rule, amount in zip(rules, used, strict=True):
                if rule.period is not None:
                    self.used[rule.key] = self.used.get(rule.key, 0) + amount

        return Taken([0] * len(rules), settle)


class FixedWindow:
    """Counts atomically, from zero with each new minute of the clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.used: dict[Any, int] = {}

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: object) -> Taken | Refused:
        keys = [
            (rule.key, self.clock.now // rule.period if isinstance(rule.period, float) else None)
            for rule in rules
        ]
        for key, rule, amount in zip(keys, rules, amounts, strict=True):
            if self.used.get(key, 0) + amount > rule.limit:
                return Refused(rule, 1.0)
        for key, amount in zip(keys, amounts, strict=True):
            self.used[key] = self.used.get(key, 0) + amount

        def settle(used: Sequence[int]) -> None:
            for key, taken, real in zip(keys, amounts, used, strict=True):
                self.used[key] += -taken if key[1] is None else real - taken

        return Taken([0] * len(rules), settle)


class RefundsToAnybody(MemoryCounters):
    """Gives back what was taken long ago to whoever takes now."""

    def take(self, rules: Sequence[Rule], amounts: Sequence[int], taker: Any) -> Taken | Refused:
        taken = super().take(rules, amounts, taker)
        if isinstance(taken, Refused):
            return taken

        def settle(used: Sequence[int]) -> None:
            now = [self._rolled(rule).take(0) for rule in rules]
            for rule, amount, cell, real in zip(rules, amounts, now, used, strict=True):
                self._counts[rule.key].settle(cell, amount, 0 if rule.period is None else real)

        return taken._replace(settle=settle)


CONTROLS: dict[str, Callable[[Clock], Any]] = {
    "check then add": CheckThenAdd,
    "fixed window": FixedWindow,
    "refunds to anybody": lambda clock: RefundsToAnybody(clock=clock, wall=lambda: WALL + clock.now),
}


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS.keys())
def test_the_check_catches_those_who_let_in_too_much(control: Callable[[Clock], Any]) -> None:
    @settings(
        max_examples=1000,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    @given(rules_of(), steps_of)
    def caught(rules: list[Rule], steps: list[Step]) -> None:
        run(rules, steps, control)

    with pytest.raises(AssertionError, match=r" in one |assert \d+ <= \d+"):
        caught()


# --- and what is refused had no room


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 1000), st.sampled_from(PERIODS), steps_of)
def test_who_is_refused_had_no_room_in_the_period_and_one_slot_more(
    limit: int, period: float, steps: list[Step]
) -> None:
    rule = Rule("a|tokens", Unit.TOKENS, limit, period)
    clock = Clock(0.0)
    counters = memory(clock)
    log: list[tuple[float, int]] = []
    for step in steps:
        clock.advance(step.pause)
        amount = min(step.amounts[1], limit)
        answer = counters.take([rule], [amount], None)
        if isinstance(answer, Taken):
            log.append((clock.now, amount))
            continue
        longest = period * (1 + 1 / SLOTS_OF_A_WINDOW) * (1 + 1e-9)
        assert sum(a for at, a in log if clock.now - at <= longest) + amount > limit
        clock.advance(answer.after)
        assert isinstance(counters.take([rule], [amount], None), Taken)
        log.append((clock.now, amount))


def test_idle_counts_are_dropped_and_busy_ones_kept() -> None:
    clock = Clock(0.0)
    counters = memory(clock)
    slot = Rule("busy|slots", Unit.SLOTS, 1, None)
    budget = Rule("busy|tokens|month", Unit.TOKENS, 10, Calendar.MONTH)
    held = counters.take([slot, budget], [1, 7], None)
    assert isinstance(held, Taken)
    for number in range(10_000):
        clock.advance(0.5)
        rule = Rule(f"{number}|requests|60", Unit.REQUESTS, 1, 60.0)
        assert isinstance(counters.take([rule], [1], None), Taken)
    assert len(counters) < 600
    assert counters.held() == 1
    assert isinstance(counters.take([slot], [1], None), Refused)
    held.settle([1, 4])
    assert counters.held() == 0
    left = counters.take([budget], [0], None)
    assert list(left.left) == [6]
