"""How a process ends: it is asked to, lets what runs finish, and cuts what does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.proxy.proxy import Proxy

if TYPE_CHECKING:
    from types import FrameType

log = logging.getLogger(__package__)


class Stop:
    """Whether the process was asked to stop, and whether it was asked twice."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.to_leave = asyncio.Event()
        """Another process takes this one's seat."""
        self.at_once = asyncio.Event()

    @contextlib.contextmanager
    def on_signals(self, leave: signal.Signals | None = None) -> Iterator[Stop]:
        """Listen to SIGTERM and SIGINT in this block, and to the one that says to `leave`."""
        former = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)
        }
        loop = asyncio.get_running_loop()
        for number in former:
            loop.add_signal_handler(number, self._ask)
        if leave is not None:
            loop.add_signal_handler(leave, self.to_leave.set)
        try:
            yield self
        finally:
            if leave is not None:
                loop.remove_signal_handler(leave)
                signal.signal(leave, signal.SIG_IGN)  # it leaves
            for number, handler in former.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._ask()

    def _ask(self) -> None:
        if self.asked.is_set():
            self.at_once.set()
        self.asked.set()


async def until_drained(proxy: Proxy, drain_seconds: float, stop: Stop, *, delay: float = 0.0) -> None:
    """Serve until asked to stop, and for `delay` seconds more; then refuse what is new and let what runs finish.

    The delay is a load balancer's time to see that this gateway is not ready any more.
    """
    await stop.asked.wait()
    proxy.is_leaving = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await stop.at_once.wait()
    proxy.is_draining = True
    log.info("draining", extra={"in_flight": proxy.live})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drain_seconds):
            while proxy.live and not stop.at_once.is_set():  # noqa: ASYNC110 - seldom, and the data plane has no events
                await asyncio.sleep(0.05)
    if proxy.live:
        log.warning("cutting what still runs", extra={"in_flight": proxy.live})
        proxy.cut()
