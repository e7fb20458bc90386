"""One simulation: a schedule in, a history and what is wrong with it out.

The course is always the same. Clients come and things break until the schedule's calm; then everything is mended and the
calls that run come to their ends; then a probe must be served; then the gateway is stopped. What is held where nothing
may be held is looked for after the clients and after the gateway have gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.outcome import End
from gateway.fleet.endpoint import Condition, Endpoint
from gateway.fleet.replica import LONGEST_EJECTION
from gateway.proxy.asgi import BrokenStream
from simulation.actors.client import GATEWAY, Client
from simulation.actors.engine import Engine
from simulation.actors.gateway import GatewayProcess
from simulation.actors.history import Asked, History, Published
from simulation.invariants import Violation, judge
from simulation.schedule import Schedule
from simulation.schedule.values import ClientPlan, Happening, RequestPlan, What
from simulation.world.chance import Chance
from simulation.world.loop import START, Livelock, VirtualLoop
from simulation.world.network import Network
from simulation.world.trace import Trace
from simulation.world.wire import Cut, Wire

LONGEST_SECONDS = 150.0
"""From the calm on, everything that runs has ended by then: requests of a connection follow each other."""
RECOVERY_SECONDS = LONGEST_EJECTION + 5.0
"""From the calm on, a probe is served by then: the last replica may just have been ejected."""
SETTLE_SECONDS = 1.0
"""Long enough for the last bytes of a connection that was closed."""
_CONDITIONS = {
    What.IS_READY: Condition.READY,
    What.IS_STARTING: Condition.STARTING,
    What.IS_DRAINING: Condition.DRAINING,
    What.IS_DOWN: Condition.DOWN,
}
_LOCAL = Wire()


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
    simulation = _Simulation(schedule, keep_trace=keep_trace)
    try:
        with _errors_noted(simulation.history):
            simulation.run()
    except Livelock as error:
        simulation.broken("I10", str(error))
    finally:
        simulation.loop.close()
    history, trace = simulation.history, simulation.trace
    return Result(
        schedule=schedule,
        history=history,
        violations=tuple(judge(schedule, history)),
        digest=trace.digest,
        trace=None if trace.lines is None else tuple(trace.lines),
        virtual_seconds=simulation.loop.time() - START,
    )


class _Simulation:
    def __init__(self, schedule: Schedule, *, keep_trace: bool) -> None:
        self.schedule = schedule
        self.loop = VirtualLoop()
        self.history = History()
        self.trace = Trace(self.loop.time, keep=keep_trace)
        self._chance = Chance(schedule.seed)
        self._network = Network(self.loop, self.trace, self._chance, self._conditions)
        self.loop.network = self._network
        self._engines = {
            plan.id: Engine(
                plan, self.loop, self._network, self.trace, self.history, on_death=self._supervise
            )
            for plan in schedule.engines
        }
        self._wires: dict[str, ClientPlan] = {}
        self._seen: dict[str, tuple[Endpoint, Condition]] = {}
        self._gateways: list[GatewayProcess] = []
        self._clients: list[Client] = []
        self._is_calm = False

    def broken(self, invariant: str, what: str) -> None:
        """Note that something does not hold."""
        self.history.problems.append((invariant, what))

    # --- the course of events

    def run(self) -> None:
        """From the beginning to the end."""
        calm = START + self.schedule.calm
        self._start_gateway()
        for engine in self._engines.values():
            engine.start()
            self._see(engine, Condition.READY)
        self._publish()
        for plan in self.schedule.clients:
            self.loop.call_at(START + plan.at, self._client(plan).start)
        for happening in self.schedule.happenings:
            self.loop.call_at(START + happening.at, self._happen, happening)
        self.loop.run(calm)
        self._mend()
        if not self._wait(self._is_quiet, LONGEST_SECONDS):
            self._tell_of_hangs()
        self._say_farewell()
        self._probe()
        self._stop()

    def _start_gateway(self) -> None:
        number = len(self._gateways)
        process = GatewayProcess(
            self.schedule.settings,
            self.loop,
            self._network,
            self._chance.of(f"gateway {number}"),
            self._ended,
        )
        self._gateways.append(process)

    def _ended(self, end: End) -> None:
        self.history.ends.append(end)
        self.trace(
            "gateway",
            f"ends {end.request_id} {end.outcome} {end.status} after {end.attempts} on {end.replica}",
        )

    def _client(self, plan: ClientPlan) -> Client:
        number = len(self._clients)
        marker = f"mk-{self.schedule.seed}-{number}"
        asked = [Asked(f"{marker}-{index}-", request, plan) for index, request in enumerate(plan.requests)]
        self.history.asked += asked
        source = f"10.8.{number // 250}.{number % 250 + 1}:40000"
        client = Client(
            f"client {number}",
            source,
            plan,
            asked,
            loop=self.loop,
            network=self._network,
            history=self.history,
        )
        self._wires[source] = plan
        self._clients.append(client)
        return client

    def _conditions(self, address: str, source: str, number: int) -> tuple[Wire, Cut | None]:
        """What the connection from `source` to `address` is like."""
        if address == GATEWAY:
            plan = self._wires[source]
            return plan.wire, plan.cut
        self.history.connects.append((self.trace.count, address))
        for engine in self._engines.values():
            if engine.address == address:
                return engine.plan.wire, None if engine.is_calm else dict(engine.plan.cuts).get(number)
        return _LOCAL, None

    def _mend(self) -> None:
        """Nothing is broken from here on."""
        self._is_calm = True
        for engine in self._engines.values():
            engine.is_calm = True
            if engine.is_frozen:
                engine.thaw()
            if not engine.is_up:
                engine.come_back()
            engine.reappear()
            self._see(engine, Condition.READY)
        if self._gateways[-1].is_draining:
            self._start_gateway()
        self._publish()

    def _is_quiet(self) -> bool:
        """Whether every client has got what it will get, and no call is live."""
        return all(client.is_done or client.is_hopeless for client in self._clients) and not any(
            process.parts.proxy.live for process in self._gateways
        )

    def _say_farewell(self) -> None:
        """The clients leave; nothing is held for them any more."""
        for client in self._clients:
            client.close()
        self._run(SETTLE_SECONDS)
        for process in self._gateways:
            for socket in list(process.sockets):
                socket.time_out()  # TCP's own patience with who has vanished is over
        self._run(SETTLE_SECONDS)
        for process in self._gateways:
            self._look_for_leftovers(process)

    def _probe(self) -> None:
        """A request for each model is served, not too late."""
        deadline = START + self.schedule.calm + RECOVERY_SECONDS
        models = {public for engine in self.schedule.engines for public, _ in engine.models}
        for model in sorted(models):
            while not self._is_served(model):
                if self.loop.time() > deadline:
                    self.broken("I10", f"{model} is not served {RECOVERY_SECONDS} s after the last fault")
                    break
                self._run(1.0)

    def _is_served(self, model: str) -> bool:
        request = RequestPlan(model=model, stream=True)
        client = self._client(ClientPlan(at=0.0, wire=_LOCAL, requests=(request,)))
        client.start()
        self._wait(lambda: client.is_done, self.schedule.settings.total)
        answer = client.asked[0].answer
        client.close()
        return answer is not None and answer.is_complete and answer.status == 200  # noqa: PLR2004 - HTTP's OK

    def _stop(self) -> None:
        """End the gateway; nothing of it is left."""
        for process in self._gateways:
            process.drain()
        if not self._wait(lambda: all(process.has_ended for process in self._gateways), 30.0):
            self.broken("I6", "the gateway does not stop")
        self._run(SETTLE_SECONDS)
        for socket in self._network.open:
            if socket.name.endswith(".near") and socket.peer_address != GATEWAY:
                self.broken("I6", f"{socket!r} is left open when the gateway has stopped")
        for when, what in self.loop.pending():
            if not what.startswith("simulation."):
                self.broken("I6", f"a timer of {what}, due at {when}, is left when the gateway has stopped")
        for task in asyncio.all_tasks(self.loop):
            self.broken("I6", f"{task.get_coro()!r} is left when the gateway has stopped")
        for complaint in self.loop.complaints:
            self.broken("I1", f"was raised and not caught: {complaint}")

    # --- what happens

    def _happen(self, happening: Happening) -> None:
        what = happening.what
        if self._is_calm:
            return
        self.trace("fate", f"{happening.engine or 'gateway'} {what}")
        self.history.strike(what.value)
        if happening.engine is None:
            _ON_GATEWAY[what](self._gateways[-1])
            return
        engine = self._engines[happening.engine]
        if what is What.DIES:
            engine.die(happening.how)
        elif what is What.RETURNS:
            if not engine.is_up:
                engine.come_back()
        elif what is What.IS_GONE:
            self._seen.pop(engine.plan.id, None)
            self._publish()
        elif what in _CONDITIONS:
            self._see(engine, _CONDITIONS[what])
            self._publish()
        else:
            _PLAIN[what](engine)

    def _supervise(self, engine: Engine) -> None:
        """An engine died of a request: it is seen to, as by a supervisor."""
        for seconds, what in ((0.1, What.IS_DOWN), (0.8, What.RETURNS), (1.0, What.IS_READY)):
            self.loop.call_later(seconds, self._happen, Happening(0.0, what, engine.plan.id))

    def _see(self, engine: Engine, condition: Condition) -> None:
        self._seen[engine.plan.id] = (engine.endpoint(), condition)

    def _publish(self) -> None:
        """Discovery tells every gateway what it sees."""
        self.history.published.append(Published(self.trace("discovery", "publishes"), dict(self._seen)))
        for process in self._gateways:
            process.publish(self._seen.values())
            for replica in process.parts.catalog.replicas():
                self.history.replicas[replica] = None

    # --- what is looked at

    def _look_for_leftovers(self, process: GatewayProcess) -> None:
        parts = process.parts
        if parts.proxy.live:
            self.broken("I6", f"{parts.proxy.live} calls are live when every client has gone")
        if process.connections:
            self.broken("I6", f"{process.connections} client connections are left when every client has gone")
        for pool in parts.catalog.pools():
            if parts.admission.waiting(pool.model):
                self.broken("I6", f"tickets are left in the queue of {pool.model}")
        for replica in self.history.replicas:
            if replica.in_flight:
                self.broken("I6", f"leases are left: {replica!r}")
        for engine in self._engines.values():
            for connection in engine.connections:
                if connection.is_answering and not connection.socket.outward.is_held:
                    self.broken("I6", f"{engine.plan.id} still answers on {connection.socket!r}")

    def _tell_of_hangs(self) -> None:
        for client in self._clients:
            if not (client.is_done or client.is_hopeless):
                self.broken("I10", f"{client.name} still waits {LONGEST_SECONDS} s after the last fault")
        for process in self._gateways:
            if process.parts.proxy.live:
                self.broken("I10", f"{process.parts.proxy!r} {LONGEST_SECONDS} s after the last fault")

    # --- time

    def _run(self, seconds: float) -> None:
        self.loop.run(self.loop.time() + seconds)

    def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Let time pass until `is_so`, for `seconds` at most."""
        end = self.loop.time() + seconds
        while not is_so():
            if self.loop.time() >= end:
                return False
            self._run(0.25)
        return True


_ON_GATEWAY: dict[What, Callable[[GatewayProcess], None]] = {
    What.DRAIN: GatewayProcess.drain,
    What.HURRY: GatewayProcess.hurry,
}
_PLAIN: dict[What, Callable[[Engine], None]] = {
    What.VANISHES: Engine.vanish,
    What.REAPPEARS: Engine.reappear,
    What.FREEZES: Engine.freeze,
    What.THAWS: Engine.thaw,
    What.CLOSES_IDLE: Engine.close_idle,
    What.TALKS_IDLE: Engine.talk_idle,
}


class _Errors(logging.Handler):
    """Notes what the gateway logs with a traceback: it caught a bug of its own at its outermost edge."""

    def __init__(self, history: History) -> None:
        super().__init__(logging.ERROR)
        self._history = history

    def emit(self, record: logging.LogRecord) -> None:
        """Note it, unless it is the plain driver's way of closing a connection, or uvicorn's of ending it in time."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, BrokenStream | asyncio.CancelledError):
            self._history.problems.append(("I1", f"was logged: {record.getMessage()}: {error!r}"))


@contextmanager
def _errors_noted(history: History) -> Iterator[None]:
    """What the gateway and its server log goes to the history, and nowhere else."""
    loggers = [logging.getLogger(name) for name in ("gateway", "uvicorn")]
    former = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [_Errors(history)], False
    try:
        yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, former, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
