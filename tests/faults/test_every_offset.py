"""An engine's real answers, cut at every byte and sliced into single bytes: never a quiet, short answer (F4, F12, F62).

A client may see three things: the complete right answer, an error status before any content, or the in-band error event
with neither `[DONE]` nor the last chunk behind it. Which of them is told by the place of the cut alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from config.schema import Config
from tests.faults.recorded import SHAPES, Recorded, recorded
from tests.support.gateway import Driver, RunningGateway, endpoint, running
from tests.support.peer import Ending, Response, request
from tests.support.scripted import DONE, ScriptedEngine

Figure = Callable[[str, str], None]
FORGOTTEN_SECONDS = 61.0
"""After so long the gateway holds nothing against an engine or a request any more."""
CUTS = [
    *((Driver.EDGE, shape, False) for shape in SHAPES),
    *((Driver.EDGE, shape, True) for shape in ("stream", "tool call", "plain")),
    *((Driver.ASGI, shape, True) for shape in ("stream", "plain")),
]
"""Driver, shape, and whether no other engine is there: what a cut does to a call is the same code for both drivers."""
BY_NAME = {"ids": lambda value: value.value}


class Seen(Enum):
    """What a client may be shown, in the order in which it changes as more of an answer gets through."""

    REFUSED = "refused"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


def seen(answer: Response, whole: Recorded) -> Seen:
    """What the client was shown. Raises `AssertionError` when that is none of what it may be shown."""
    if answer.status != 200:
        assert answer.is_complete
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_lost")
        assert answer.header("x-should-retry") == "false"
        return Seen.REFUSED
    if answer.is_complete:
        assert answer.body == whole.answer
        return Seen.COMPLETE
    assert whole.is_stream
    assert answer.ending is Ending.FIN
    *before, last = answer.events
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "stream_interrupted"
    assert before == whole.events[: len(before)]
    assert DONE not in before
    return Seen.INTERRUPTED


@dataclass
class Bench:
    """A gateway in front of an engine that replays a part of an answer, and of another that replays it whole."""

    gateway: RunningGateway
    whole: Recorded
    cut: ScriptedEngine
    sound: ScriptedEngine
    _published: int = 0

    async def seen(self, length: int, *, is_alone: bool) -> Seen:
        """What a client is shown when the engine that it is sent to first answers so many bytes and ends."""
        self.cut.parts = [self.whole.wire[:length]]
        asked = len(self.cut.requests)
        for _ in range(4):
            self.gateway.advance(FORGOTTEN_SECONDS)
            self._publish(is_alone=is_alone)
            peer = await self.gateway.connect()
            await peer.send(request(self.whole.body, more_headers=[("connection", "close")]))
            answer = await peer.last_response()
            peer.close()
            self.gateway.peers.clear()
            await self.gateway.settled()
            if len(self.cut.requests) > asked:
                assert len(self.cut.requests) == asked + 1
                return seen(answer, self.whole)
            assert not is_alone  # else the other one was asked first: again
        raise AssertionError(f"never asked, but {answer.raw!r}")

    def _publish(self, *, is_alone: bool) -> None:
        """Present both as new replicas: neither has failed before."""
        self._published += 1
        engines = [self.cut] if is_alone else [self.cut, self.sound]
        if (
            self._published % 2
        ):  # calls go to them in turn: swapped each time, the same one is always asked first
            engines.reverse()
        self.gateway.publish(
            *(
                endpoint(engine.address, id=f"engine-{number}", api_key=str(self._published))
                for number, engine in enumerate(engines)
            )
        )


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
async def whole(shape: str) -> Recorded:
    return await recorded(shape)


@pytest.fixture
async def gateway(driver: Driver, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    config = Config.model_validate({"auth": {"mode": "anonymous"}})
    async with running(config, tmp_path / "data", driver) as running_:
        yield running_


@pytest.fixture(scope="module")
def tally() -> Counter[Seen]:
    """How often clients were shown what, in all tests here."""
    return Counter()


@pytest.mark.parametrize(("driver", "shape", "is_alone"), CUTS)
@pytest.mark.parametrize("ending", [Ending.FIN, Ending.RST], **BY_NAME)
async def test_a_cut_at_any_byte_is_told(
    gateway: RunningGateway,
    whole: Recorded,
    ending: Ending,
    is_alone: bool,
    tally: Counter[Seen],
    figure: Figure,
) -> None:
    async with ScriptedEngine(ending=ending).serve() as cut, ScriptedEngine([whole.wire]).serve() as sound:
        bench = Bench(gateway, whole, cut, sound)
        told = [await bench.seen(length, is_alone=is_alone) for length in range(len(whole.wire) + 1)]
    before_content = Seen.REFUSED if is_alone else Seen.COMPLETE
    for length, shown in enumerate(told):
        expected = by_place(length, whole, before_content)
        # A reset may overtake what was sent before it.
        assert shown is expected or (ending is Ending.RST and shown is before_content), length
    assert set(told) == {by_place(length, whole, before_content) for length in range(len(whole.wire) + 1)}
    tally.update(told)
    shares = ", ".join(f"{tally[each]:,} {each.value}" for each in Seen)
    figure("answers cut at every byte", f"{tally.total():,}: {shares}, 0 silent truncations")


def by_place(length: int, whole: Recorded, before_content: Seen) -> Seen:
    """What a client is to be shown of an answer that is cut after `length` bytes."""
    if not whole.is_stream:
        return Seen.COMPLETE if length == len(whole.wire) else before_content
    if length < whole.content_at:
        return before_content
    return Seen.INTERRUPTED if length < whole.done_at else Seen.COMPLETE


@pytest.mark.parametrize("size", [1, 2, 5])
async def test_slices_arrive_as_the_whole(gateway: RunningGateway, whole: Recorded, size: int) -> None:
    """Characters of several bytes, lines and chunk sizes are all cut through."""
    slices = [whole.wire[at : at + size] for at in range(0, len(whole.wire), size)]
    async with ScriptedEngine().serve() as engine:
        gateway.publish(endpoint(engine.address))
        peer = await gateway.connect()
        for parts in (slices, [whole.wire]):
            engine.parts = parts
            answer = await peer.ask(request(whole.body))
            assert answer.is_complete
            assert answer.body == whole.answer
    assert not whole.answer.isascii() or "tools" in whole.body
