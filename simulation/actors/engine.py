"""A simulated engine: its processes, one after the other, and what befalls them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.fleet.endpoint import Endpoint, parse_address
from simulation.actors.history import History
from simulation.actors.serving import EngineConnection
from simulation.schedule.values import Answering, Behaviour, EnginePlan
from simulation.world.wire import How

if TYPE_CHECKING:
    from simulation.world.loop import VirtualLoop
    from simulation.world.network import Network
    from simulation.world.trace import Trace


class Engine:
    """One engine, over all of its processes. `generation` counts those."""

    def __init__(
        self,
        plan: EnginePlan,
        loop: VirtualLoop,
        network: Network,
        trace: Trace,
        history: History,
        *,
        on_death: Callable[[Engine], None],
    ) -> None:
        self.plan = plan
        self.loop = loop
        self.trace = trace
        self.history = history
        self.on_death = on_death
        """Told when it died of a request."""
        self._network = network
        self._requests = 0
        self.generation = 0
        self.is_up = False
        self.is_frozen = False
        self.is_calm = False
        """Answers everything well from now on."""
        self.connections: dict[EngineConnection, None] = {}
        self._thawing: list[Callable[[], None]] = []

    @property
    def address(self) -> str:
        """Where its present process listens, or the last one did."""
        place = self.plan.address
        if self.generation == 0:
            return place
        if place.startswith("unix:"):
            return place.replace("-0.sock", f"-{self.generation}.sock")
        host, _, port = place.partition(":")
        return f"{host}:{int(port) + self.generation}"

    @property
    def key(self) -> str:
        """The key of its present process."""
        return f"key-{self.plan.id}-{self.generation}"

    def endpoint(self) -> Endpoint:
        """How discovery would describe it now."""
        address = self.address if self.address.startswith("unix:") else f"http://{self.address}"
        return Endpoint(
            id=self.plan.id,
            address=parse_address(address),
            engine="vllm",
            models=self.plan.models,
            api_key=self.key,
            max_in_flight=self.plan.max_in_flight,
            idle_seconds=self.plan.idle_seconds,
        )

    # --- what happens to it

    def start(self) -> None:
        """Run."""
        self.is_up = True
        self._network.listen(self.address, lambda socket: EngineConnection(self, socket))

    def die(self, how: How) -> None:
        """The process ends; the kernel closes what it had open."""
        if not self.is_up:
            return
        self.is_up = self.is_frozen = False
        self._thawing.clear()
        self._network.refuse(self.address)
        for connection in list(self.connections):
            if how is How.RST:
                connection.socket.reset()
            else:
                connection.socket.abort()

    def come_back(self) -> None:
        """Run again, as another process."""
        self.generation += 1
        self.start()

    def vanish(self) -> None:
        """Nothing sent to it or by it arrives."""
        self._network.swallow(self.address)

    def reappear(self) -> None:
        """Can be reached again."""
        self._network.restore(self.address)

    def freeze(self) -> None:
        """Do nothing until `thaw`."""
        self.is_frozen = True
        for connection in self.connections:
            connection.socket.pause_reading()

    def thaw(self) -> None:
        """Go on."""
        self.is_frozen = False
        for connection in list(self.connections):
            connection.socket.resume_reading()
        waiting, self._thawing = self._thawing, []
        for go_on in waiting:
            self.loop.call_soon(go_on)

    def close_idle(self) -> None:
        """Close every connection on which nothing runs."""
        if self.is_frozen:
            return
        for connection in list(self.connections):
            if connection.is_idle:
                connection.socket.close()

    def talk_idle(self) -> None:
        """Say on every connection on which nothing runs that it took too long, as some servers do before they close."""
        if self.is_frozen:
            return
        for connection in list(self.connections):
            if connection.is_idle:
                connection.socket.write(
                    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                )
                connection.socket.close()

    # --- for its connections

    def when_awake(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` now, or when it is thawed."""
        if self.is_frozen:
            self._thawing.append(go_on)
        else:
            go_on()

    def behaviour(self) -> Behaviour:
        """How the request that came just now is answered."""
        number, self._requests = self._requests, self._requests + 1
        planned = self.plan.behaviours[number % len(self.plan.behaviours)]
        if self.is_calm:
            return replace(planned, answering=Answering.WELL, delay=0.01, gap=0.01)
        return planned

    def complain(self, invariant: str, what: str) -> None:
        """Note that the gateway did what it must not."""
        self.history.problems.append((invariant, f"{self.plan.id}: {what}"))
