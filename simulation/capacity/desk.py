"""Where requests are asked: each becomes a call of the gateway, and its answer is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.core.outcome import End
from gateway.openai.operations import CHAT
from gateway.proxy.client import Client, Headers, Part
from simulation.capacity.asked import Asked
from simulation.capacity.prompts import Prompt
from simulation.capacity.scenario import Workload
from simulation.capacity.texts import body

if TYPE_CHECKING:
    from gateway.proxy.exchange import Exchange
    from gateway.proxy.proxy import Proxy
    from simulation.world.loop import VirtualLoop

_CONTENT = b'"content":"a"'


class Desk:
    """Asks the gateway. `asked` holds every request by its id, in the order in which they were sent."""

    proxy: Proxy
    """To be set before the first request."""

    def __init__(self, loop: VirtualLoop, credentials: tuple[bytes, ...]) -> None:
        self.asked: dict[str, Asked] = {}
        self.live = 0
        self._loop = loop
        self._credentials = credentials

    def ask(
        self,
        number: int,
        workload: Workload,
        prompt: Prompt,
        output_tokens: int,
        session: str | None,
        then: Callable[[Asked], None],
    ) -> None:
        """Send one request of the workload of that number; `then` is called when it is over."""
        asked = Asked(
            number,
            f"s{len(self.asked):07x}",
            prompt,
            output_tokens,
            is_stream=workload.stream,
            sent=self._loop.time(),
        )
        self.asked[asked.id] = asked
        self.live += 1
        caller = _Caller(self, asked, then)
        headers = [
            (b"authorization", b"Bearer " + self._credentials[number]),
            (b"x-request-id", asked.id.encode()),
        ]
        if workload.deadline is not None:
            headers.append((b"x-request-deadline-ms", b"%d" % (workload.deadline * 1000)))
        exchange = caller.exchange = self.proxy.open(CHAT, headers, caller)
        if workload.patience is not None:
            self._loop.call_later(workload.patience, caller.hang_up)
        exchange.request(body(prompt, workload, output_tokens, session))

    def told(self, end: End) -> None:
        """The gateway's record of a call that is over."""
        asked = self.asked[end.request_id]
        asked.outcome, asked.status, asked.code = end.outcome, end.status, end.code
        asked.replica = end.replica
        if end.dispatched is not None:
            asked.waited = end.dispatched - end.arrived

    def now(self) -> float:
        """Virtual seconds."""
        return self._loop.time()

    def later(self, what: Callable[[Asked], None], asked: Asked) -> None:
        """Let a caller know, when the gateway is done with what it does now."""
        self.live -= 1
        self._loop.call_soon(what, asked)


class _Caller:
    """The gateway's client of one request."""

    __slots__ = ("_asked", "_desk", "_is_over", "_then", "exchange")

    exchange: Exchange

    def __init__(self, desk: Desk, asked: Asked, then: Callable[[Asked], None]) -> None:
        self._desk = desk
        self._asked = asked
        self._then = then
        self._is_over = False

    @property
    def address(self) -> str | None:
        """See `Client`."""
        return None

    def unsent(self) -> int:
        """See `Client`."""
        return 0

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """See `Client`."""
        del headers, body
        if status == 200:  # noqa: PLR2004 - HTTP's OK
            self._asked.first = self._desk.now()
        self._end()

    def begin(self, status: int, headers: Headers) -> None:
        """See `Client`."""

    def send(self, data: bytes, part: Part) -> None:
        """See `Client`."""
        if self._asked.first is None and _CONTENT in data:
            self._asked.first = self._desk.now()
        if part is not Part.MORE:
            self._end()

    def hang_up(self) -> None:
        """It took too long."""
        if not self._is_over:
            self.exchange.client_gone()
            self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._asked.ended = self._desk.now()
            self._desk.later(self._then, self._asked)


_: type[Client] = _Caller
