"""Connections to an engine's sockets: made, broken, made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.fleet.cached import Follower, Followers
from gateway.fleet.cached.follower import Feed
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Published, Sighting, TcpAddress
from tests.support.publishing import Publisher, batch, stored

FIRST = batch(stored([1], [1] * 4))
SECOND = batch(stored([2], [2] * 4))


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.005)


async def test_it_knows_the_past_and_hears_the_present(short_folder: Path) -> None:
    publisher = Publisher(short_folder)
    publisher.publish(0, FIRST)
    await publisher.start()
    follower = Follower("r", publisher.where)
    follower.start()
    await until(lambda: len(follower.blocks) == 1)
    publisher.publish(1, SECOND)
    await until(lambda: len(follower.blocks) == 2)
    follower.close()
    await publisher.stop()


async def test_an_engine_that_ends_is_forgotten_at_once_and_followed_again(short_folder: Path) -> None:
    publisher = Publisher(short_folder)
    publisher.publish(0, FIRST)
    publisher.publish(1, SECOND)
    await publisher.start()
    follower = Follower("r", publisher.where)
    follower.start()
    await until(lambda: len(follower.blocks) == 2)
    await publisher.stop()
    await until(lambda: len(follower.blocks) == 0)
    publisher.publish(0, FIRST)
    await publisher.start()
    await until(lambda: len(follower.blocks) == 1)
    follower.close()
    await publisher.stop()


async def test_a_lost_batch_is_asked_for(short_folder: Path) -> None:
    publisher = Publisher(short_folder)
    await publisher.start()
    follower = Follower("r", publisher.where)
    follower.start()
    await until(lambda: publisher.subscribed == 1 and follower.feed.is_in_step)
    publisher.publish(0, FIRST, sent=False)
    publisher.publish(1, SECOND)
    await until(lambda: len(follower.blocks) == 2)
    assert publisher.asked == [0, 0]
    follower.close()
    await publisher.stop()


async def test_a_server_that_speaks_something_else_is_left_alone(short_folder: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n".ljust(64))
        await writer.drain()
        writer.close()

    publisher = Publisher(short_folder)
    server = await asyncio.start_unix_server(answer, short_folder / "e")
    follower = Follower("r", publisher.where)
    follower.start()
    await asyncio.sleep(0.05)
    assert not follower.is_connected
    follower.close()
    server.close()
    await server.wait_closed()


class Pretended(Follower):
    def __init__(self, name: str, where: Published) -> None:
        super().__init__(name, where)
        self.state = "new"

    def start(self) -> None:
        self.state = "followed"

    def close(self) -> None:
        self.state = "left"


def test_there_is_one_for_each_engine_that_publishes(short_folder: Path) -> None:
    made: list[Pretended] = []

    def follow(name: str, where: Published) -> Follower:
        made.append(Pretended(name, where))
        return made[-1]

    def endpoint(name: str, published: Published | None) -> Endpoint:
        return Endpoint(name, TcpAddress("h", 1), "vllm", (("m", "m"),), None, 4, 1.0, published)

    catalog = Catalog()
    followers = Followers(catalog, follow)
    where, other = Publisher(short_folder).where, Publisher(short_folder / "other").where

    def publish(*endpoints: Endpoint) -> list[tuple[str, str]]:
        catalog.publish("test", [Sighting(each, Condition.READY) for each in endpoints])
        followers.sweep()
        return [(each.name, each.state) for each in made]

    assert publish(endpoint("a", where), endpoint("b", None)) == [("a", "followed")]
    assert publish(endpoint("a", where)) == [("a", "followed")]
    assert publish(endpoint("a", other)) == [("a", "left"), ("a", "followed")]
    assert publish() == [("a", "left"), ("a", "left")]


async def test_one_that_fails_by_a_fault_of_ours_says_so(
    short_folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = Publisher(short_folder)
    await publisher.start()
    follower = Follower("r", publisher.where)

    def begin() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Feed, "begin", lambda _: begin())
    follower.start()
    await until(lambda: bool(caplog.records))
    assert "not followed any more" in caplog.text
    assert not follower.is_connected
    await publisher.stop()
