from collections.abc import Callable

from engines.simulated.ticker import Ticker


class FakeTimers:
    """A loop whose time only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[[], None], Handle]] = []
        self.made = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> "Handle":
        self.made += 1
        handle = Handle()
        self.calls.append((when, callback, handle))
        return handle

    def call_soon(self, callback: Callable[[], None]) -> "Handle":
        return self.call_at(self.now, callback)

    def pass_until(self, when: float) -> None:
        while True:
            due = [call for call in self.calls if call[0] <= when and not call[2].is_cancelled]
            if not due:
                self.now = when
                return
            call = min(due, key=lambda c: c[0])
            self.calls.remove(call)
            self.now = max(self.now, call[0])
            call[1]()


class Handle:
    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


def ticker() -> tuple[Ticker[str], FakeTimers, list[tuple[str, float]]]:
    timers = FakeTimers()
    seen: list[tuple[str, float]] = []
    return (
        Ticker(timers, lambda items, now: seen.extend((item, round(now, 3)) for item in items)),
        timers,
        seen,
    )


def test_items_run_in_the_order_in_which_they_are_due():
    made, timers, seen = ticker()
    made.add(100.030, "late")
    made.add(100.010, "early")
    timers.pass_until(101)
    assert [item for item, _ in seen] == ["early", "late"]


def test_no_item_runs_before_its_time_nor_more_than_a_tick_after():
    made, timers, seen = ticker()
    made.add(100.0104, "x")
    timers.pass_until(100.0103)
    assert seen == []
    timers.pass_until(100.0115)
    assert [item for item, _ in seen] == ["x"]


def test_one_timer_serves_everything_that_is_due_in_one_tick():
    made, timers, seen = ticker()
    for number in range(500):
        made.add(100.0201 + number / 1_000_000, str(number))
    timers.pass_until(101)
    assert len(seen) == 500
    assert timers.made == 1


def test_an_earlier_item_is_not_kept_waiting_by_the_timer_of_a_later_one():
    made, timers, seen = ticker()
    made.add(105, "late")
    made.add(101, "early")
    timers.pass_until(102)
    assert [item for item, _ in seen] == ["early"]


def test_soon_means_the_next_turn_and_never_this_one():
    made, timers, seen = ticker()
    made.soon("a")
    made.soon("b")
    assert seen == []
    timers.pass_until(100)
    assert seen == [("a", 100.0), ("b", 100.0)]


def test_a_loop_that_wakes_a_little_early_loses_nothing():
    made, timers, seen = ticker()
    made.add(100.010, "x")
    when, fire, _ = timers.calls.pop()
    timers.now = when - 0.0009
    fire()
    assert [item for item, _ in seen] == ["x"]
