"""Cables cut, hosts gone, clients that end their side: noticed in time, and nobody loses an answer (F59, F61, F63, F64).

A cable that is cut needs a network of its own and root. Each such test has a twin that needs neither.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from tests.faults.asking import body
from tests.faults.network import FAR, NEAR, Network, why_not
from tests.faults.processes import EngineProcess, GatewayProcess, running
from tests.faults.proxy import Direction, FaultProxy
from tests.faults.toxics import Bandwidth, Latency, Slicer, Timeout
from tests.support.blackhole import blackhole
from tests.support.gateway import Driver, RunningGateway, endpoint, until
from tests.support.gateway import running as running_gateway
from tests.support.peer import Peer, Response, request
from tests.support.product import until as wait_until

Figure = Callable[[str, str], None]
SLACK_SECONDS = 10.0
"""How late a busy machine may be."""
FAR_MODEL = "far-model"
SLOW_MODEL = "slow-model"
HANG = "who-is-not-answered"
PLAIN = body(tokens=2, stream=False)

reason = cache(why_not)


@pytest.fixture
def network() -> Iterator[Network]:
    why = reason()
    if why is not None:
        pytest.skip(f"{why}; its twins run")
    with Network("test").made() as made:
        yield made


class Site:
    """A gateway on the near host, an engine beside it and one on the far host, and clients there."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.near = EngineProcess(folder, "near", is_tcp=False)
        self.near.models |= {SLOW_MODEL: "simulated"}
        # Before the first of many tokens: a client waits in silence.
        self.near.command += ["--sim-itl-ms", "50", "--sim-tokens", "100000", "--max-model-len", "200000"]
        self.far = EngineProcess(folder, "far", host=FAR, before=network.before("far"))
        self.far.models |= {FAR_MODEL: "simulated"}
        server = {"listen": f"{NEAR}:0", "admin_listen": "127.0.0.1:0", "insecure_listen": True}
        self.gateway = GatewayProcess(
            folder,
            {engine.url: engine.models for engine in (self.near, self.far)},
            sections={"server": server},
            before=network.before("near"),
        )

    def wait_until_up(self) -> None:
        with self.network.on("far"):
            self.far.wait_until_up()
        self.near.wait_until_up()
        with self.network.on("near"):
            self.gateway.wait_until_ready(2)

    async def connect(self, host: str) -> Peer:
        """A client's connection from `host`."""
        with self.network.on(host):
            sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.gateway.address)
        return Peer(sock)

    async def ask(self, host: str, model: str, **fields: object) -> tuple[int, float]:
        """The status of one call, and the time at which its answer came."""
        peer = await self.connect(host)
        try:
            await peer.send(request({**PLAIN, "model": model, **fields}))
            head = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(peer.socket, 65536), 60)
        finally:
            peer.close()
        return int(head[9:12]), time.monotonic()

    def held(self) -> tuple[float, int]:
        with self.network.on("near"):
            return self.gateway.held()


@pytest.fixture
def site(network: Network, short_folder: Path, tmp_path: Path) -> Iterator[Site]:
    made = Site(network, tmp_path)
    with running([made.near, made.far, made.gateway]):
        made.wait_until_up()
        yield made


async def test_a_cut_cable_is_noticed_on_both_sides(site: Site, figure: Figure) -> None:
    """An engine behind it is given up within 11 s and others answer; a client behind it is let go within 45 s."""
    model = "model"
    for _ in range(4):  # in turn: connections to both engines are kept
        assert (await site.ask("near", model))[0] == 200
    assert (await site.ask("near", FAR_MODEL))[0] == 200
    streaming = await site.connect("far")
    await streaming.send(request({**body(tokens=90_000, stream=True), "model": SLOW_MODEL}))
    await streaming.until(b'"content":"')
    waiting = await site.connect("far")
    await waiting.send(request({**body(tokens=90_000, stream=False), "model": SLOW_MODEL}))
    idle = await site.connect("far")
    idle_body = request(b"", method="GET", path="/v1/models", headers=())
    assert (await idle.ask(idle_body)).status == 200
    with site.network.on("far"):
        site.far.script(faults=[{"kind": "hang", "at": "arrival", "body_contains": HANG}])
    at_work = asyncio.create_task(site.ask("near", FAR_MODEL, user=HANG))
    await until(lambda: site.held()[1] == 3)
    descriptors = site.gateway.descriptors

    site.network.cut()
    cut_at = time.monotonic()
    # On a kept connection, on new ones, and on one whose request was taken before: nothing of that is left unsaid.
    lost, *others = await asyncio.gather(
        site.ask("near", FAR_MODEL), *(site.ask("near", model) for _ in range(20))
    )
    assert lost[0] in {502, 503}
    assert {status for status, _ in others} == {200}
    given_up = await at_work
    assert given_up[0] in {502, 503}
    slowest = max(at for _, at in (lost, given_up, *others)) - cut_at
    assert slowest < 11 + SLACK_SECONDS
    # It is out by now, and nobody waits for it.
    later = [await site.ask("near", model) for _ in range(6)]
    assert {status for status, _ in later} == {200}

    await asyncio.to_thread(
        wait_until, lambda: site.held() == (0.0, 0), seconds=45 + SLACK_SECONDS, what=lambda: str(site.held())
    )
    freed = time.monotonic() - cut_at
    await until(lambda: site.gateway.descriptors <= descriptors - 3, deadline=SLACK_SECONDS + 5)
    records = await asyncio.to_thread(site.near.journal)
    assert [record["end"] for record in records if record["tokens_sent"] > 2] == ["aborted"] * 2
    figure(
        "cable cut",
        f"calls to the engine behind it over after {slowest:.1f} s, clients freed after {freed:.1f} s",
    )

    site.network.mend()
    began = time.monotonic()
    while (await site.ask("near", FAR_MODEL))[0] != 200:
        assert time.monotonic() - began < 60 + SLACK_SECONDS
        await asyncio.sleep(0.2)
    figure("cable mended", f"the engine behind it is used again after {time.monotonic() - began:.1f} s")
    for peer in (streaming, waiting, idle):
        peer.close()


# --- twins, without a network of their own


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SimulatedEngine]:
    async with SimulatedEngine().serve() as made:
        yield made


@pytest.fixture
async def gateway(driver: Driver, tmp_path: Path) -> AsyncIterator[RunningGateway]:
    config = Config.model_validate({"auth": {"mode": "anonymous"}, "timeouts": {"connect": 0.2}})
    async with running_gateway(config, tmp_path / "data", driver) as made:
        yield made


def target(engine: SimulatedEngine) -> tuple[str, int]:
    url = httpx.URL(engine.address)
    assert url.port is not None
    return url.host, url.port


async def test_an_engine_that_takes_no_connection_is_passed_over(
    gateway: RunningGateway, engine: SimulatedEngine
) -> None:
    """Twin: what is sent to its port is lost without a word."""
    with blackhole() as nowhere:
        gateway.publish(endpoint(nowhere, id="nowhere"), endpoint(engine.address))
        for _ in range(4):
            peer = await gateway.connect()
            assert (await peer.ask(request(PLAIN))).status == 200
        gateway.publish(endpoint(nowhere, id="nowhere", api_key="new"))
        answer = await (await gateway.connect()).ask(request(PLAIN))
        assert (answer.status, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    await gateway.settled()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_an_engine_whose_words_are_lost_is_given_up(
    gateway: RunningGateway, engine: SimulatedEngine, stream: bool
) -> None:
    """Twin: the connection stands, and nothing comes over it any more."""
    async with FaultProxy(target(engine)).serve() as proxy:
        gateway.publish(endpoint(proxy.url))
        proxy.add("cut", Timeout())
        peer = await gateway.connect()
        await peer.send(request(body(tokens=2, stream=stream)))
        await until(lambda: engine.log and engine.log[0].end == "finished")
        gateway.advance(601)
        assert (await peer.response()).status == 504
        await gateway.settled()
        await until(lambda: proxy.connections == 0)


async def test_a_stream_whose_rest_is_lost_is_interrupted(
    gateway: RunningGateway, engine: SimulatedEngine
) -> None:
    engine.script(itl_ms=1.0, tokens=100_000)
    async with FaultProxy(target(engine)).serve() as proxy:
        gateway.publish(endpoint(proxy.url))
        peer = await gateway.connect()
        await peer.send(request(body(tokens=4000, stream=True)))
        await peer.until(b'"content":"')
        proxy.add("cut", Timeout())
        await until(lambda: engine.log[0].tokens_sent > 100)
        gateway.advance(31)
        answer = await peer.last_response()
        assert b"stream_interrupted" in answer.events[-1]
        assert not answer.is_complete
        await until(lambda: engine.log[0].end == "aborted")
    await gateway.settled()


async def test_a_client_behind_a_cut_is_let_go(gateway: RunningGateway, engine: SimulatedEngine) -> None:
    """Twin: it takes nothing of what is sent to it, and says nothing."""
    engine.script(itl_ms=0.0, tokens=1_000_000)
    stuck: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Stuck:
        def open(self, _: object) -> Callable[..., object]:
            async def carry(*_: object) -> None:
                await stuck

            return carry

    gateway.publish(endpoint(engine.address))
    async with FaultProxy(gateway.address).serve() as proxy:
        peer = await Peer.connect(proxy.address)  # type: ignore[arg-type]  # TCP here
        await peer.send(request(body(tokens=4000, stream=True)))
        await peer.until(b'"content":"')
        assert engine.log
        proxy.add("cut", Stuck())  # type: ignore[arg-type]  # of the same shape
        peer.close()
        stuck.cancel()
    await gateway.settled()


@pytest.mark.parametrize("seed", range(3))
async def test_a_bad_line_on_both_sides_is_only_slower(
    gateway: RunningGateway, engine: SimulatedEngine, seed: int
) -> None:
    """Late, slow and in bits: every byte is the same (F63)."""
    engine.script(tokens=30, multibyte=0.5)
    rng = random.Random(seed)
    asks = [request(body(tokens=20, stream=number % 2 == 0)) for number in range(8)]

    async def answers(address: tuple[str, int]) -> list[Response]:
        async def one(ask: bytes) -> Response:
            peer = await Peer.connect(address)
            answer = await peer.ask(ask)
            peer.close()
            return answer

        return await asyncio.gather(*map(one, asks))

    gateway.publish(endpoint(engine.address))
    calm = await answers(gateway.address)
    async with (
        FaultProxy(target(engine), rng=rng).serve() as to_engine,
        FaultProxy(gateway.address, rng=rng).serve() as to_gateway,
    ):
        gateway.publish(endpoint(to_engine.url, api_key="new"))
        for proxy in (to_engine, to_gateway):
            for direction in Direction:
                proxy.add(f"late {direction}", Latency(0.03, jitter=0.02), direction)
                proxy.add(f"slow {direction}", Bandwidth(200_000), direction)
                proxy.add(f"bits {direction}", Slicer(40, variation=39), direction)
        address = to_gateway.address
        assert isinstance(address, tuple)
        bad = await answers(address)
    assert [answer.is_complete for answer in bad] == [True] * len(asks)
    assert [texts(answer) for answer in bad] == [texts(answer) for answer in calm]
    await gateway.settled()


def texts(answer: Response) -> list[bytes]:
    """What was said, without the ids of the call."""
    return [part.split(b'"')[0] for part in answer.body.split(b'"content":"')[1:]]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
async def test_a_client_that_ends_its_side_has_left(
    gateway: RunningGateway, engine: SimulatedEngine, stream: bool
) -> None:
    """The end of one side looks like the end of both until something is sent, and an answer nobody waits for costs an
    engine its work: so it counts as a disconnect at once (F64 gives way to F56)."""
    engine.script(ttft_ms=100_000)
    gateway.publish(endpoint(engine.address))
    peer = await gateway.connect()
    await peer.send(request(body(tokens=5, stream=stream)))
    await until(lambda: len(engine.log) == 1)
    peer.socket.shutdown(socket.SHUT_WR)
    await peer.end()
    assert not peer.buffer
    await until(lambda: engine.log[0].end == "aborted")
    await gateway.settled()
    assert [end.outcome.value for end in gateway.ends] == ["client_gone"]
