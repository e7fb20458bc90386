"""One simulation: a schedule in, a history and what is wrong with it out.

The course is always the same. Clients come and things break until the schedule's calm; then everything is mended and the
calls that run come to their ends; then a probe must be served; then the gateway is stopped. What is held where nothing
may be held is looked for after the clients and after the gateway have gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gateway.fleet.replica import LONGEST_EJECTION
from simulation import leftovers
from simulation.actors.gateway import IDLE_SECONDS
from simulation.actors.history import History
from simulation.caught import errors_noted
from simulation.invariants import Violation, judge
from simulation.schedule import Schedule
from simulation.schedule.values import ClientPlan, RequestPlan
from simulation.stage import Stage
from simulation.world.loop import START, Livelock
from simulation.world.wire import Wire

LONGEST_SECONDS = 150.0
"""From the calm on, everything that runs has ended by then: requests of a connection follow each other."""
RECOVERY_SECONDS = LONGEST_EJECTION + 5.0
"""From the calm on, a probe is served by then: the last replica may just have been ejected."""
SETTLE_SECONDS = 1.0
"""Long enough for the last bytes of a connection that was closed."""
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """What one simulation came to."""

    schedule: Schedule
    history: History
    violations: tuple[Violation, ...]
    digest: str
    """Over everything that happened."""
    trace: tuple[str, ...] | None
    virtual_seconds: float


def simulate(schedule: Schedule, *, keep_trace: bool = False) -> Result:
    """Run `schedule` and judge what happened."""
    stage = Stage(schedule, keep_trace=keep_trace)
    try:
        with errors_noted(stage.history):
            _Course(stage).run()
    except Livelock as error:
        stage.broken("I10", str(error))
    finally:
        stage.loop.close()
    lines = stage.trace.lines
    return Result(
        schedule=schedule,
        history=stage.history,
        violations=tuple(judge(schedule, stage.history)),
        digest=stage.trace.digest,
        trace=None if lines is None else tuple(lines),
        virtual_seconds=stage.loop.time() - START,
    )


class _Course:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def run(self) -> None:
        """From the beginning to the end."""
        stage = self._stage
        stage.begin()
        stage.loop.run(START + stage.schedule.calm)
        self._do(stage.mend)
        if not self._wait(self._is_quiet, LONGEST_SECONDS):
            self._tell_of_hangs()
        self._run(IDLE_SECONDS + 3 * stage.schedule.settings.stall)
        leftovers.look_when_nobody_reads(stage)
        self._say_farewell()
        leftovers.look_when_clients_are_gone(stage)
        self._probe()
        self._stop()
        leftovers.look_when_gateways_are_gone(stage)

    def _is_quiet(self) -> bool:
        """Whether every client has got what it will get, and no call is live."""
        stage = self._stage
        return all(client.is_done or client.is_hopeless for client in stage.clients) and not any(
            process.parts.proxy.live for process in stage.gateways
        )

    def _tell_of_hangs(self) -> None:
        stage = self._stage
        for client in stage.clients:
            if not (client.is_done or client.is_hopeless):
                stage.broken("I10", f"{client.name} still waits {LONGEST_SECONDS} s after the last fault")
        for process in stage.gateways:
            if process.parts.proxy.live:
                stage.broken("I10", f"{process.parts.proxy!r} {LONGEST_SECONDS} s after the last fault")

    def _say_farewell(self) -> None:
        """The clients leave, and TCP's own patience with those who have vanished is over."""
        stage = self._stage
        for client in stage.clients:
            self._do(client.close)
        self._run(SETTLE_SECONDS)
        for process in stage.gateways:
            for socket in list(process.sockets):
                self._do(socket.time_out)
        self._run(SETTLE_SECONDS)

    def _probe(self) -> None:
        """A request for each model is served, not too late."""
        stage = self._stage
        deadline = START + stage.schedule.calm + RECOVERY_SECONDS
        models = {public for engine in stage.schedule.engines for public, _ in engine.models}
        for model in sorted(models):
            while not self._is_served(model):
                if stage.loop.time() > deadline:
                    stage.broken("I10", f"{model} is not served {RECOVERY_SECONDS} s after the last fault")
                    break
                self._run(1.0)

    def _is_served(self, model: str) -> bool:
        stage = self._stage
        request = RequestPlan(model=model, stream=True)
        client = stage.client(ClientPlan(at=0.0, wire=Wire(), requests=(request,)))
        self._do(client.start)
        self._wait(lambda: client.is_done, stage.schedule.settings.total)
        answer = client.asked[0].answer
        self._do(client.close)
        return answer is not None and answer.is_complete and answer.status == 200  # noqa: PLR2004 - HTTP's OK

    def _stop(self) -> None:
        """End the gateway."""
        stage = self._stage
        for process in stage.gateways:
            self._do(process.drain)
        if not self._wait(lambda: all(process.has_ended for process in stage.gateways), STOP_SECONDS):
            stage.broken("I6", "the gateway does not stop")
        self._run(SETTLE_SECONDS)

    def _do(self, what: Callable[[], None]) -> None:
        """Let something happen now, on the loop like everything else."""
        self._stage.loop.call_soon(what)
        self._run(0.0)

    def _run(self, seconds: float) -> None:
        loop = self._stage.loop
        loop.run(loop.time() + seconds)

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until `is_so`, for `seconds` at most."""
        end = self._stage.loop.time() + seconds
        while not is_so():
            if self._stage.loop.time() >= end:
                return False
            self._run(0.25)
        return True
