"""An endpoint with its live state.

In-flight counts are our own and exact: a call counts from the moment it is given a replica until its last byte (tower's
completion load). Failures here are those seen on the request path; discovery's view is `condition`. What a client does
- leave, read slowly, set a short deadline - says nothing of a replica and is not told to it.
"""

from __future__ import annotations

from gateway.fleet.endpoint import Condition, Endpoint
from gateway.fleet.load import Load
from gateway.fleet.pace import Pace
from gateway.fleet.seen import Seen

EJECT_AFTER = 3
"""Failed answers in a row before a replica is left out, where another can take its place."""
WINDOW_SECONDS = 10.0
WINDOW_CALLS = 10
"""Of so many calls within `WINDOW_SECONDS`, more than half failing does it too."""
FIRST_EJECTION = 1.0
LONGEST_EJECTION = 60.0
SILENCE_SECONDS = 5.0
"""A replica that holds calls and has said nothing at all for so long gets no more, where another can take them."""
STUCK_SECONDS = 10.0
"""One that has said nothing for so long, and whose engine made no step from one page to the next and the one after it,
does nothing: its calls are taken from it, whatever its server answers to a question after its health."""
STANDING_PAGES = 2
WARM_SECONDS = 30.0
"""How long a replica that came back takes to get its full share again: its caches are empty, its kernels are cold."""


class Replica:
    """Mutated only by synchronous methods on the event loop. Times are monotonic seconds."""

    __slots__ = (
        "_ejection",
        "_failures",
        "_idle_at",
        "_is_on_probation",
        "_refused_at",
        "_warm_from",
        "_window_at",
        "_window_calls",
        "_window_failures",
        "ceiling",
        "condition",
        "decode_tokens",
        "dispatches",
        "ejected_until",
        "endpoint",
        "epoch",
        "freshness",
        "heard_at",
        "in_flight",
        "is_another",
        "is_awaited",
        "is_doubted",
        "is_resting",
        "is_silent",
        "is_stuck",
        "limit",
        "pace",
        "prefill_tokens",
        "ready_in",
        "seen",
        "unreachable",
    )

    def __init__(self, endpoint: Endpoint, condition: Condition) -> None:
        self.endpoint = endpoint
        self.condition = condition
        self.ready_in: float | None = None
        self.in_flight = 0
        self.limit = endpoint.max_in_flight
        """How many calls it may hold: `ceiling`, or less since it turned one away."""
        self.ceiling = endpoint.max_in_flight
        """What is configured, or less by what was seen of its engine."""
        self.ejected_until = 0.0
        self.unreachable = False
        self.heard_at = 0.0
        """When it last sent anything, as of the last sweep."""
        self.is_silent = False
        self.is_resting = False
        """It turned a call away a moment ago."""
        self.is_doubted = False
        """Whether `is_sound` has to be asked: false for all replicas, most of the time."""
        self.is_stuck = False
        """It does nothing, by its own count of steps."""
        self.is_awaited = False
        """A call that its client reads waits for it for longer than `STUCK_SECONDS`."""
        self.is_another = False
        """What answers under its name now is not what was there before: another model, or other limits."""
        self.dispatches = 0
        """Calls that it was given."""
        self.prefill_tokens = self.decode_tokens = 0
        """Tokens of the calls that it holds, by estimate: prompts not begun to be answered, and answers."""
        self.epoch = 0
        """Counts its engine's starts, as far as they are noticed: what an engine keeps is gone with each."""
        self.seen = Seen()
        """What its engine says of itself."""
        self.freshness = 0.0
        """How much `seen` counted at the last sweep, 0 to 1."""
        self.pace = Pace()
        self._warm_from: float | None = None
        self._is_on_probation = False
        self._refused_at = 0.0
        self._idle_at = 0.0
        self._failures = 0
        self._ejection = FIRST_EJECTION
        self._window_at = 0.0
        self._window_calls = self._window_failures = 0

    def __repr__(self) -> str:
        return f"<Replica {self.endpoint.id} {self.condition} {self.in_flight}/{self.limit}>"

    def has_room(self) -> bool:
        """Whether one more call may run here."""
        return self.in_flight < self.limit and not self.is_resting

    @property
    def load(self) -> Load | None:
        """What its engine last said of its load; `seen` has when that was."""
        return self.seen.load

    @property
    def is_asleep(self) -> bool:
        """Whether somebody put its engine to sleep. We never wake one."""
        load = self.seen.load
        return load is not None and load.is_asleep

    @property
    def is_warming(self) -> bool:
        """Whether it came back a short while ago."""
        return self._warm_from is not None

    def is_serving(self) -> bool:
        """Whether it can be sent work, as far as discovery and its engine say."""
        return self.condition is Condition.READY and not self.is_asleep and not self.is_another

    def is_ejected(self, now: float) -> bool:
        """Whether it is left out for failing."""
        return now < self.ejected_until

    def is_sound(self, now: float) -> bool:
        """Whether nothing speaks against it. After an ejection one call at a time has to show that it is well."""
        return (
            not self.is_ejected(now)
            and not self.is_silent
            and not self.is_stuck
            and not (self._is_on_probation and self.in_flight)
            and self.is_serving()
        )

    def may_be_back(self, now: float) -> bool:
        """Whether it can be tried when nothing else is there: not at once after a refused connection."""
        return self.is_serving() and (not self.unreachable or now - self._refused_at >= FIRST_EJECTION)

    def is_flowing(self, now: float) -> bool:
        """Whether it is answering: it holds calls, and something of an answer came a moment ago."""
        return self.in_flight > 0 and now - self.heard_at <= SILENCE_SECONDS

    def share(self, now: float) -> float:
        """What it may hold of what its peers do, 0 to 1: grows while it is warming."""
        return 1.0 if self._warm_from is None else min(1.0, (now - self._warm_from) / WARM_SECONDS)

    def came_back(self, now: float) -> None:
        """Its engine was started, or could not be reached for a while: what it kept may be gone."""
        self.epoch += 1
        self._warm_from = now
        self.is_doubted = True

    def succeeded(self, now: float) -> None:
        """A call ended well, or badly through no fault of the engine."""
        self.heard_at = now
        self._count(now)
        if self.limit < self.ceiling:
            self.limit += 1
        if self._failures:
            self._failures = 0
            self._ejection = FIRST_EJECTION
        if self.unreachable:
            self.came_back(now)
        if self.is_doubted:
            self.unreachable = self._is_on_probation = False
            self.is_doubted = self._is_held_back()

    def failed(self, now: float) -> None:
        """The engine broke a call: ejected after `EJECT_AFTER` in a row, longer each time.

        A hundred calls broken by one crash are one reason to leave it out, not a hundred: while it is left out already
        nothing is added.
        """
        if self.is_ejected(now):
            return
        self._count(now)
        self._failures += 1
        self._window_failures += 1
        is_often = self._window_calls >= WINDOW_CALLS and 2 * self._window_failures > self._window_calls
        if self._failures >= EJECT_AFTER or is_often:
            self._eject(now)

    def refused(self, now: float) -> None:
        """No connection could be made: out at once, tried again after the ejection."""
        self.unreachable = True
        self._refused_at = now
        if self.is_ejected(now):
            return
        self._failures += 1
        self._eject(now)

    def was_busy(self) -> None:
        """It turned a call away for load, which is no failure: it holds all that it can, for now."""
        self.limit = max(1, min(self.limit, self.in_flight))
        self.is_resting = True

    def hold_to(self, ceiling: int) -> None:
        """It may hold `ceiling` calls. Those that it holds beyond stay."""
        self.ceiling = ceiling
        self.limit = min(self.limit, ceiling)

    def heard(self, at: float) -> None:
        """It sent something at `at`."""
        self.heard_at = max(self.heard_at, at)

    def tick(self, now: float) -> None:
        """Time has passed. To be called after the calls have told what they heard."""
        self.is_resting = False
        self.freshness = self.seen.freshness(now)
        if not self.in_flight:
            self._idle_at = now
            self.seen.standing = 0  # an idle engine makes no steps
        quiet = now - max(self._idle_at, self.heard_at)
        self.is_silent = quiet > SILENCE_SECONDS
        if self.is_awaited and quiet > STUCK_SECONDS and self.seen.standing >= STANDING_PAGES:
            self._stick(now)
        self.is_awaited = False
        if self._warm_from is not None and now - self._warm_from >= WARM_SECONDS:
            self._warm_from = None
        if self.is_silent or self._is_held_back():
            self.is_doubted = True

    def saw(self, load: Load, now: float) -> None:
        """Its engine told its load. One that was stuck is tried again when it made a step, or holds no call."""
        if self.seen.take(load, now, self.in_flight):
            self.came_back(now)
        self.freshness = 1.0
        if self.is_stuck and (self.seen.standing == 0 or (load.running == 0 and not self.in_flight)):
            self.is_stuck = False
        if load.is_asleep:
            self.is_doubted = True

    def _stick(self, now: float) -> None:
        if self.is_stuck:
            return
        self.is_stuck = True
        if not self.is_ejected(now):
            self._ejection = max(self._ejection, STUCK_SECONDS)
            self._eject(now)

    def _is_held_back(self) -> bool:
        return self.is_stuck or self._warm_from is not None or not self.is_serving()

    def _count(self, now: float) -> None:
        if now - self._window_at > WINDOW_SECONDS:
            self._window_at = now
            self._window_calls = self._window_failures = 0
        self._window_calls += 1

    def _eject(self, now: float) -> None:
        self.is_doubted = self._is_on_probation = True
        self.ejected_until = now + self._ejection
        self._ejection = min(self._ejection * 2, LONGEST_EJECTION)
