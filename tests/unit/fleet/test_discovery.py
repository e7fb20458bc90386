"""Discoveries: what they publish, and that losing sight of an engine is no proof that it is gone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from engines import roster
from engines.roster import Roster, WorkerRecord, WorkerStatus
from engines.simulated import Options, SimulatedEngine
from gateway.fleet.discovery.roster import RosterDiscovery
from gateway.fleet.discovery.static import PROBE_EVERY_DOWN, PROBE_EVERY_UP, Server, StaticDiscovery
from gateway.fleet.endpoint import Condition, Sighting, TcpAddress, UnixAddress, parse_address
from gateway.fleet.health import Card, ProbeError, list_models, open_client
from tests.support.gateway import until

SERVER = Server("up", TcpAddress("127.0.0.1", 1), "vllm", "/v1/models", 4.0, 8)
Seen = list[list[Sighting]]


class Stop(Exception):
    """Ends a discovery that never returns."""


class World:
    """Answers probes from a script, and notes how long is slept between them."""

    def __init__(self, *answers: tuple[str | Card, ...] | None, is_flowing: bool = False) -> None:
        self.answers = list(answers)
        self.slept: list[float] = []
        self.is_flowing = is_flowing

    async def probe(self, server: Server) -> tuple[Card, ...]:
        if not self.answers:
            raise Stop
        answer = self.answers.pop(0)
        if answer is None:
            raise ProbeError("no answer")
        return tuple(each if isinstance(each, Card) else Card(each) for each in answer)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def follow(world: World, server: Server = SERVER) -> Seen:
    """Everything published until the script is over."""
    seen: Seen = []
    discovery = StaticDiscovery(
        [server], sleep=world.sleep, probe=world.probe, is_flowing=lambda _: world.is_flowing
    )
    with pytest.RaisesGroup(Stop):
        await discovery.watch(lambda sightings: seen.append(list(sightings)))
    return seen


def conditions(seen: Seen) -> list[list[str]]:
    return [[each.condition.value for each in sightings] for sightings in seen]


async def test_a_server_without_configured_models_serves_what_it_lists() -> None:
    seen = await follow(World(("a", "b")))
    assert seen[0] == []
    (sighting,) = seen[1]
    assert sighting.condition is Condition.READY
    assert sighting.endpoint.models == (("a", "a"), ("b", "b"))
    assert (sighting.endpoint.id, sighting.endpoint.max_in_flight, sighting.endpoint.idle_seconds) == (
        "up",
        8,
        4.0,
    )


async def test_configured_models_are_known_before_the_first_answer() -> None:
    server = dataclasses.replace(SERVER, models={"public": "own"})
    seen = await follow(World(None, ("own", "else")), server)
    assert conditions(seen) == [["starting"], ["down"], ["ready"]]
    assert all(each[0].endpoint.models == (("public", "own"),) for each in seen)


async def test_a_configured_model_that_is_not_listed_is_not_served() -> None:
    server = dataclasses.replace(SERVER, models={"one": "own", "two": "other"})
    seen = await follow(World(("own",)), server)
    assert seen[-1][0].endpoint.models == (("one", "own"),)
    seen = await follow(World(("else",)), server)
    assert conditions(seen) == [["starting"], ["down"]]


async def test_nothing_new_is_not_published_again() -> None:
    assert conditions(await follow(World(("a",), ("a",), ("a",)))) == [[], ["ready"]]


async def test_one_missed_probe_is_tolerated_and_two_are_not() -> None:
    assert conditions(await follow(World(("a",), None, ("a",), None, ("a",)))) == [[], ["ready"]]
    world = World(("a",), None, None, None, ("a",))
    assert conditions(await follow(world)) == [[], ["ready"], ["down"], ["ready"]]
    assert world.slept == [
        PROBE_EVERY_UP,
        PROBE_EVERY_DOWN,
        PROBE_EVERY_DOWN,
        PROBE_EVERY_DOWN,
        PROBE_EVERY_UP,
    ]


async def test_one_whose_tokens_flow_is_busy_and_nothing_else() -> None:
    answers = (("a",), None, None, None, None)
    assert conditions(await follow(World(*answers, is_flowing=True))) == [[], ["ready"]]


IS = Card("a", "/weights/one", 4096)


@pytest.mark.parametrize("other", [Card("a", "/weights/two", 4096), Card("a", "/weights/one", 2048)])
@pytest.mark.parametrize("gap", [(), (None, None)], ids=["between two probes", "after it was away"])
async def test_what_comes_back_as_another_is_kept_out_until_it_is_itself_again(other, gap, caplog) -> None:
    seen = await follow(World((IS,), *gap, (other,), (other,), (IS,)))
    last, back = seen[-2:]
    assert (last[0].condition, last[0].is_another) == (Condition.DOWN, True)
    assert (back[0].condition, back[0].is_another) == (Condition.READY, False)
    assert [record.upstream for record in caplog.records if record.levelname == "ERROR"] == ["up"]


async def test_what_a_server_does_not_say_and_models_that_are_not_asked_of_it_do_not_matter() -> None:
    assert conditions(await follow(World((IS,), (Card("a"),), (IS,)))) == [[], ["ready"]]
    server = dataclasses.replace(SERVER, models={"public": "a"})
    seen = await follow(World((IS, Card("b", "x")), (IS, Card("b", "y"))), server)
    assert conditions(seen) == [["starting"], ["ready"]]


async def test_a_server_that_lists_nothing_any_more_is_down() -> None:
    seen = await follow(World(("a",), ()))
    assert conditions(seen) == [[], ["ready"], ["down"]]
    assert seen[-1][0].endpoint.models == (("a", "a"),)


async def test_other_models_are_news() -> None:
    seen = await follow(World(("a",), ("a", "b")))
    assert [each[0].endpoint.models for each in seen[1:]] == [(("a", "a"),), (("a", "a"), ("b", "b"))]


async def test_servers_are_followed_independently() -> None:
    seen: Seen = []
    silent = asyncio.Event()

    async def probe(server: Server) -> tuple[Card, ...]:
        if server.id == "silent":
            await silent.wait()
        return (Card("a"),)

    async def sleep(_: float) -> None:
        raise Stop

    servers = [dataclasses.replace(SERVER, id="silent"), SERVER]
    with pytest.RaisesGroup(Stop):
        await StaticDiscovery(servers, sleep=sleep, probe=probe).watch(lambda all_: seen.append(list(all_)))
    assert [each.endpoint.id for each in seen[-1]] == ["up"]


async def test_a_real_server_is_asked_with_its_key(tmp_path: Path) -> None:
    async with SimulatedEngine(Options(model="m", api_keys=("k",))).serve(uds=tmp_path / "s") as engine:
        async with open_client(parse_address(engine.address)) as client:
            assert await list_models(client, "/v1/models", "k") == ("m",)
            with pytest.raises(ProbeError, match="answered 401"):
                await list_models(client, "/v1/models", None)
            with pytest.raises(ProbeError, match="no model list"):
                await list_models(client, "/version", "k")
        async with open_client(UnixAddress(str(tmp_path / "nobody"))) as client:
            with pytest.raises(ProbeError, match="ConnectError"):
                await list_models(client, "/v1/models", None)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test"])
async def test_a_host_that_cannot_be_is_a_probe_that_fails(host) -> None:
    """It must not end the discovery, and with it the gateway."""
    async with open_client(TcpAddress(host, 1)) as client:
        with pytest.raises(ProbeError):
            await list_models(client, "/v1/models", None)


# --- the roster


def worker(**changes: object) -> WorkerRecord:
    fields = {
        "id": "chat-0",
        "group": "chat",
        "models": {"chat": "/models/x", "alias": "/models/x"},
        "engine": "vllm",
        "address": "unix:/run/chat-0.sock",
        "api_key": "k",
        "max_in_flight": 7,
        "status": WorkerStatus.READY,
        "phase": "ready",
        "since": 1.0,
    }
    return WorkerRecord(**{**fields, **changes})  # type: ignore[arg-type]


class Book:
    """A roster file and a discovery that looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: Seen = []
        self.discovery = RosterDiscovery(path, wall_clock=lambda: 100.0)
        self.sequence = 0

    def write(self, *workers: WorkerRecord) -> None:
        self.sequence += 1
        roster.write(self.path, Roster(pid=1, start_time=1.0, sequence=self.sequence, workers=workers))

    def look(self) -> int:
        """Look once; how much has been published until now."""
        self.discovery.look(self._publish)
        return len(self.seen)

    def _publish(self, sightings: Sequence[Sighting]) -> None:
        self.seen.append(list(sightings))


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path / "engines.json")


def test_no_roster_yet_publishes_nothing(book) -> None:
    assert book.look() == 0


def test_a_worker_becomes_an_endpoint(book) -> None:
    book.write(worker())
    assert book.look() == 1
    (sighting,) = book.seen[0]
    endpoint = sighting.endpoint
    assert endpoint.models == (("chat", "/models/x"), ("alias", "/models/x"))
    assert (endpoint.id, endpoint.api_key, endpoint.max_in_flight) == ("chat-0", "k", 7)
    assert endpoint.address == UnixAddress("/run/chat-0.sock")


STATUSES = {
    WorkerStatus.WAITING: Condition.STARTING,
    WorkerStatus.STARTING: Condition.STARTING,
    WorkerStatus.READY: Condition.READY,
    WorkerStatus.DRAINING: Condition.DRAINING,
    WorkerStatus.STOPPED: Condition.DOWN,
    WorkerStatus.FAILED: Condition.DOWN,
}


@pytest.mark.parametrize("status", WorkerStatus)
def test_every_status_is_a_condition_and_only_ready_gets_work(book, status) -> None:
    book.write(worker(status=status, ready_at=130.0))
    book.look()
    assert book.seen[0][0].condition is STATUSES[status]
    assert book.seen[0][0].ready_in == 30.0


def test_a_guess_that_is_over_is_still_ahead(book) -> None:
    book.write(worker(status=WorkerStatus.STARTING, ready_at=20.0))
    book.look()
    assert book.seen[0][0].ready_in == 1.0


def test_only_a_replaced_file_is_read_again(book) -> None:
    book.write(worker())
    assert [book.look() for _ in range(3)] == [1, 1, 1]
    book.write(worker(), worker(id="chat-1"))
    assert book.look() == 2
    assert [each.endpoint.id for each in book.seen[-1]] == ["chat-0", "chat-1"]


def test_a_file_that_is_gone_or_broken_leaves_what_was_seen(book) -> None:
    book.write(worker())
    book.look()
    for broken in (b"", b"{", b"[]", b'{"pid":"x"}', b"\xff"):
        book.path.write_bytes(broken)
        assert [book.look() for _ in range(2)] == [1, 1]
    book.path.unlink()
    assert book.look() == 1
    book.write(worker())
    assert book.look() == 2


def test_a_folder_in_its_place_is_survived(book) -> None:
    book.path.mkdir()
    assert book.look() == 0


async def test_it_is_published_at_once_and_followed(book, monkeypatch) -> None:
    monkeypatch.setattr("gateway.fleet.discovery.roster.LOOK_EVERY", 0.001)
    book.write(worker())
    task = asyncio.create_task(book.discovery.watch(book._publish))
    await until(lambda: len(book.seen) == 1)
    book.write()
    await until(lambda: len(book.seen) == 2)
    task.cancel()
    assert book.seen[-1] == []
