"""Runs one simulated engine as a process: `python -m engines.simulated --model NAME [vLLM's flags]`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys

import uvloop

from engines.simulated import startup
from engines.simulated.arguments import Start, parse
from engines.simulated.children import Children
from engines.simulated.engine import SimulatedEngine

_YOUNG_OBJECTS = 50_000


def main() -> int:
    """Run until a signal. Gives the exit code."""
    start = parse(sys.argv[1:], os.environ)
    try:
        listener = _bound(start)
    except OSError as error:
        sys.stderr.write(f"OSError: {error}\n")
        return 1
    with listener:
        return uvloop.run(_run(start, listener))


def _bound(start: Start) -> socket.socket:
    """Take the address without listening on it: a client is refused until the engine is ready, as with vLLM."""
    if start.uds is None:
        listener = socket.socket(socket.AF_INET6 if ":" in start.host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((start.host, start.port))
        return listener
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(start.uds)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, start.uds) from error
    return listener


async def _run(start: Start, listener: socket.socket) -> int:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    lost = asyncio.Event()
    children = Children(loop, lost.set)
    engine = SimulatedEngine(start.options, start.script, die=os._exit)  # a death leaves no time for anything
    try:
        children.start(start.children)
        if await _starts(start, asked):
            await engine.start(sock=listener)
            _say(startup.READY_LINE)
            _settle()
            await _until_asked(engine, asked, lost)
    finally:
        await engine.stop()
        children.stop()
    await asyncio.sleep(start.exit_seconds)
    return 0


async def _starts(start: Start, asked: asyncio.Event) -> bool:
    """Write the lines of a start over its time; false when it was ended meanwhile."""
    address = f"unix:{start.uds}" if start.uds else f"http://{start.host}:{start.port}"
    passed = 0.0
    for share, line in startup.lines(start.options, address):
        wait = (share - passed) * start.start_seconds
        passed = share
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), wait)
        if asked.is_set():
            return False
        _say(line)
    return True


async def _until_asked(engine: SimulatedEngine, asked: asyncio.Event, lost: asyncio.Event) -> None:
    ends = [asyncio.create_task(event.wait()) for event in (asked, lost)]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for end in ends:
        end.cancel()
    if lost.is_set():
        await engine.fail()
    else:
        await engine.shut_down()


def _settle() -> None:
    """Keep the collector off what lives as long as the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 50)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
