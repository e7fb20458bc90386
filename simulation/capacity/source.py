"""When the requests of one workload come."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from simulation.capacity.asked import Asked
from simulation.capacity.desk import Desk
from simulation.capacity.prompts import Paths
from simulation.capacity.scenario import Workload
from simulation.capacity.talk import Talk, Talks
from simulation.capacity.trace import TraceLine
from simulation.world.loop import START

if TYPE_CHECKING:
    from simulation.world.loop import VirtualLoop

PAUSE_AFTER_REFUSAL = 1.0
"""Seconds after which a caller who asks again was turned away: what `retry-after` says."""


class Source:
    """Asks until `ends`. `rate` is in conversations a second, for arrivals that have one."""

    def __init__(
        self,
        number: int,
        workload: Workload,
        *,
        seed: int,
        rate: float | None,
        trace: Sequence[TraceLine],
        ends: float,
        paths: Paths,
        desk: Desk,
        loop: VirtualLoop,
    ) -> None:
        self._number = number
        self._workload = workload
        self._rate = rate or 0.0
        self._trace = trace
        self._begins = START + workload.begins
        self._ends = START + min(ends, ends if workload.ends is None else workload.ends)
        self._paths = paths
        self._desk = desk
        self._loop = loop
        self._talks = Talks(workload, seed, paths)
        self._rng = Random(f"{seed}/{workload.name}/arrivals")

    def start(self) -> None:
        """Arrange for the first request."""
        arrivals = self._workload.arrivals
        if arrivals.closed is not None:
            for _ in range(arrivals.closed.callers):
                self._at(self._begins + self._thinks(arrivals.closed.think), self._begin_again)
        elif arrivals.trace is not None:
            for line in self._trace:
                self._loop.call_at(self._begins + line.at, self._begin, line)
        else:
            self._arrange(self._begins)

    # --- open

    def _arrange(self, since: float) -> None:
        """The first arrival after `since`, and from it the next."""
        at = since + self._rng.expovariate(self._rate)
        bursts = self._workload.arrivals.bursts
        if bursts is not None:  # time runs only while it is on
            period = bursts.on + bursts.off
            on_before = (since - self._begins) // period * bursts.on + (since - self._begins) % period
            on = on_before + at - since
            at = self._begins + on // bursts.on * period + on % bursts.on
        self._at(at, self._arrive)

    def _arrive(self) -> None:
        self._arrange(self._loop.time())
        self._begin(None)

    def _begin(self, line: TraceLine | None) -> None:
        self._next(self._talks.begin(line))

    # --- closed

    def _begin_again(self) -> None:
        self._next(self._talks.begin())

    # --- one conversation

    def _next(self, talk: Talk) -> None:
        workload = self._workload
        prompt = talk.ask(workload, self._paths)
        session = talk.session if workload.names_session else None
        self._desk.ask(
            self._number,
            workload,
            prompt,
            talk.output_tokens,
            session,
            lambda asked: self._answered(talk, asked),
        )

    def _answered(self, talk: Talk, asked: Asked) -> None:
        now, closed, turns = self._loop.time(), self._workload.arrivals.closed, self._workload.turns
        if talk.left and turns is not None and asked.is_whole:
            self._at(now + self._thinks(turns.think, talk.rng), self._next, talk)
        elif closed is not None:
            pause = self._thinks(closed.think) + (0.0 if asked.is_whole else PAUSE_AFTER_REFUSAL)
            self._at(now + pause, self._begin_again)

    def _thinks(self, seconds: float, rng: Random | None = None) -> float:
        return (rng or self._rng).expovariate(1 / seconds) if seconds else 0.0

    def _at(self, when: float, what: object, *arguments: object) -> None:
        if when < self._ends:
            self._loop.call_at(when, what, *arguments)  # type: ignore[arg-type]  # ours, all of them
