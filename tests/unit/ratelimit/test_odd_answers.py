"""A server that answers what it never should is done without, and nothing ends by it."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time

import pytest

from gateway.ratelimit.base import Pending, Rule, Taken, Unit
from gateway.ratelimit.memory import MemoryCounters
from gateway.ratelimit.shared.connect import shared_counters
from gateway.ratelimit.shared.place import Place
from gateway.ratelimit.shared.resp import Parser
from gateway.ratelimit.shared.wire import Patience
from tests.support import valkey

MINUTE = Rule("key:a|requests|60", Unit.REQUESTS, 10, 60.0)


class Odd(asyncio.Protocol):
    """Answers every beat and every taking as it was told."""

    def __init__(self, beat: bytes, take: bytes) -> None:
        self._parser, self._beat, self._take = Parser(), beat, take

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data) -> None:
        for words in self._parser.feed(data):
            is_beat = words[0] in {b"EVAL", b"EVALSHA"} and words[2] == b"2" and b"gateways" in words[3]
            said = b"x" if words[0] == b"SCRIPT" else self._beat if is_beat else self._take
            self._transport.write(b"$%d\r\n%b\r\n" % (len(said), said))


@contextlib.asynccontextmanager
async def counters(folder, beat: bytes = b"1 0 7", take: bytes = b"x"):
    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: Odd(beat, take), str(folder / "odd.sock"))
    made = shared_counters(
        Place(path=str(folder / "odd.sock")),
        name="g",
        local=lambda: MemoryCounters(clock=time.monotonic, wall=time.time),
        clock=time.monotonic,
        wall=time.time,
        rng=random.Random(1),
        patience=Patience(connect=5.0, answer=5.0, slow=5.0),
    )
    running = asyncio.create_task(made.run())
    try:
        yield made, running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()


@pytest.mark.parametrize("beat", [b"many 0 7", b"1 0", b"", b"0 0 7", b"1 -1 7", b"\xff \xff 7"])
async def test_an_odd_answer_to_a_beat_is_a_connection_that_cannot_be_had(tmp_path, beat):
    async with counters(tmp_path, beat=beat) as (made, running):
        await valkey.until(lambda: running.done() or "gateways" in str(made.state().trouble))
        assert not running.done()
        assert not made.state().is_up


@pytest.mark.parametrize("take", [b"x", b"", b"1", b"1 2", b"0 5 1000", b"2 9 1 0"])
async def test_an_odd_answer_to_a_taking_is_decided_alone(tmp_path, take):
    class Waiting:
        def __init__(self) -> None:
            self.told = asyncio.get_running_loop().create_future()

        def taken(self, taken) -> None:
            self.told.set_result(taken)

        refused = taken

    async with counters(tmp_path, take=take) as (made, _):
        await valkey.until(lambda: made.state().is_up)
        waiting = Waiting()
        assert isinstance(made.take([MINUTE], [1], waiting), Pending)
        async with asyncio.timeout(5):
            assert isinstance(await waiting.told, Taken)
        assert made.state().alone == 1
