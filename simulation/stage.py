"""Everything that takes part in one simulation, and what befalls it."""

from __future__ import annotations

from collections.abc import Callable

from gateway.core.outcome import End
from gateway.fleet.endpoint import Condition, Endpoint
from simulation.actors.client import GATEWAY, Client
from simulation.actors.engine import Engine
from simulation.actors.gateway import GatewayProcess
from simulation.actors.history import Asked, History, Published
from simulation.schedule import Schedule
from simulation.schedule.values import ClientPlan, Happening, What
from simulation.world.chance import Chance
from simulation.world.loop import START, VirtualLoop
from simulation.world.network import Network
from simulation.world.trace import Trace
from simulation.world.wire import Cut, Wire

_CONDITIONS = {
    What.IS_READY: Condition.READY,
    What.IS_STARTING: Condition.STARTING,
    What.IS_DRAINING: Condition.DRAINING,
    What.IS_DOWN: Condition.DOWN,
}


class Stage:
    """Engines, gateways and clients on one loop and one network."""

    def __init__(self, schedule: Schedule, *, keep_trace: bool) -> None:
        self.schedule = schedule
        self.loop = VirtualLoop()
        self.history = History()
        self.trace = Trace(self.loop.time, keep=keep_trace)
        self._chance = Chance(schedule.seed)
        self.network = Network(self.loop, self.trace, self._chance, self._conditions)
        self.loop.network = self.network
        self.engines = {
            plan.id: Engine(plan, self.loop, self.network, self.trace, self.history, on_death=self._supervise)
            for plan in schedule.engines
        }
        self._wires: dict[str, ClientPlan] = {}
        self._seen: dict[str, tuple[Endpoint, Condition]] = {}
        self.gateways: list[GatewayProcess] = []
        self.clients: list[Client] = []
        self._is_calm = False

    def begin(self) -> None:
        """Start the gateway and the engines; arrange for the clients, and for what happens."""
        self.start_gateway()
        for engine in self.engines.values():
            engine.start()
            self._see(engine, Condition.READY)
        self._publish()
        for plan in self.schedule.clients:
            self.loop.call_at(START + plan.at, self.client(plan).start)
        for happening in self.schedule.happenings:
            self.loop.call_at(START + happening.at, self._happen, happening)

    def broken(self, invariant: str, what: str) -> None:
        """Note that something does not hold."""
        self.history.problems.append((invariant, what))

    def start_gateway(self) -> None:
        """Start a gateway process; it takes new connections from here on."""
        number = len(self.gateways)
        process = GatewayProcess(
            self.schedule.settings,
            self.loop,
            self.network,
            self._chance.of(f"gateway {number}"),
            self._ended,
        )
        self.gateways.append(process)

    def client(self, plan: ClientPlan) -> Client:
        """Add a client, to be started."""
        number = len(self.clients)
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
            network=self.network,
            history=self.history,
        )
        self._wires[source] = plan
        self.clients.append(client)
        return client

    def mend(self) -> None:
        """Nothing is broken from here on."""
        self._is_calm = True
        for engine in self.engines.values():
            engine.is_calm = True
            if engine.is_frozen:
                engine.thaw()
            if not engine.is_up:
                engine.come_back()
            engine.reappear()
            self._see(engine, Condition.READY)
        self.gateways[-1].make_room()
        if self.gateways[-1].is_draining:
            self.start_gateway()
        self._publish()

    # --- what happens

    def _happen(self, happening: Happening) -> None:
        what = happening.what
        if self._is_calm:
            return
        self.trace("fate", f"{happening.engine or 'gateway'} {what}")
        self.history.strike(what.value)
        if happening.engine is None:
            _ON_GATEWAY[what](self.gateways[-1])
            return
        engine = self.engines[happening.engine]
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
        self.history.published.append(
            Published(self.trace("discovery", "publishes"), self.loop.time(), dict(self._seen))
        )
        for process in self.gateways:
            process.publish(self._seen.values())
            for replica in process.parts.catalog.replicas():
                self.history.replicas[replica] = None

    # --- what is noted, and what connections are like

    def _ended(self, end: End) -> None:
        self.history.ends.append(end)
        self.trace(
            "gateway",
            f"ends {end.request_id} {end.outcome} {end.status} after {end.attempts} on {end.replica}",
        )

    def _conditions(self, address: str, source: str, number: int) -> tuple[Wire, Cut | None]:
        """What the connection from `source` to `address` is like."""
        if address == GATEWAY:
            plan = self._wires[source]
            return plan.wire, plan.cut
        self.history.connects.append((self.trace.count, address))
        for engine in self.engines.values():
            if engine.address == address:
                return engine.plan.wire, None if engine.is_calm else dict(engine.plan.cuts).get(number)
        return Wire(), None


_ON_GATEWAY: dict[What, Callable[[GatewayProcess], None]] = {
    What.DRAIN: GatewayProcess.drain,
    What.HURRY: GatewayProcess.hurry,
    What.IS_FULL: GatewayProcess.fill,
    What.HAS_ROOM: GatewayProcess.make_room,
}
_PLAIN: dict[What, Callable[[Engine], None]] = {
    What.VANISHES: Engine.vanish,
    What.REAPPEARS: Engine.reappear,
    What.FREEZES: Engine.freeze,
    What.THAWS: Engine.thaw,
    What.CLOSES_IDLE: Engine.close_idle,
    What.TALKS_IDLE: Engine.talk_idle,
}
