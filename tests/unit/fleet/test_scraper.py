"""Asking engines for their load: when, how often, and that nothing follows from no answer."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest

from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, TcpAddress
from gateway.fleet.scraper import LATEST, LONGEST_ANSWER, SOONEST, Scraper
from tests.support.clock import Clock

PAGE = b"vllm:num_requests_running %d\nvllm:num_requests_waiting 0\nvllm:iteration_tokens_total_count %d\n"


class Asked:
    def __init__(
        self, endpoint: Endpoint, path: str, done: Callable[[bytes | None], None], at: float
    ) -> None:
        self.id = endpoint.id
        self.path = path
        self.done = done
        self.at = at
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Round:
    """A scraper over engines that answer when the test says so."""

    def __init__(self, *ids: str, engine: str = "vllm") -> None:
        self.clock = Clock(0.0)
        self.catalog = Catalog(clock=self.clock)
        self.asked: list[Asked] = []
        self.engine = engine
        self.publish(*ids)
        self.scraper = Scraper(
            self.catalog, self._fetch, {"vllm": "/metrics"}, clock=self.clock, rng=random.Random(1)
        )

    def publish(self, *ids: str, condition: Condition = Condition.READY) -> None:
        self.catalog.publish(
            "test",
            [
                Sighting(Endpoint(i, TcpAddress("h", 1), self.engine, (("m", "m"),), None, 4, 1.0), condition)
                for i in ids
            ],
        )

    def _fetch(self, endpoint: Endpoint, path: str, done: Callable[[bytes | None], None]) -> Asked:
        self.asked.append(Asked(endpoint, path, done, self.clock()))
        return self.asked[-1]

    def run(self, seconds: float, *, page: bytes | None = None, answer: bool = True) -> None:
        for _ in range(round(seconds / 0.25)):
            seen = len(self.asked)
            self.scraper.sweep()
            if answer:
                for each in self.asked[seen:]:
                    each.done(page)
            self.clock.advance(0.25)


def test_each_ready_engine_is_asked_every_one_to_two_seconds_and_not_all_at_once() -> None:
    world = Round("a", "b", "c", "d")
    world.run(60.0, page=PAGE % (1, 1))
    gaps = []
    for name in "abcd":
        times = [each.at for each in world.asked if each.id == name]
        gaps += [late - early for early, late in itertools.pairwise(times)]
    assert min(gaps) >= SOONEST
    assert max(gaps) <= LATEST + 0.25
    assert len({each.at for each in world.asked}) > len(world.asked) / 2


def test_what_is_told_becomes_the_replicas_load_with_its_age() -> None:
    world = Round("a")
    world.run(3.0, page=PAGE % (3, 7))
    (replica,) = world.catalog.replicas()
    assert replica.load is not None
    assert (replica.load.running, replica.load.steps) == (3.0, 7.0)
    assert replica.seen.age(world.clock()) <= LATEST + 0.25
    assert world.asked[0].path == "/metrics"


@pytest.mark.parametrize("page", [None, b"", b"no page"])
def test_no_answer_changes_nothing_but_the_age(page) -> None:
    world = Round("a")
    world.run(3.0, page=PAGE % (3, 7))
    (replica,) = world.catalog.replicas()
    before, seen_at = replica.load, replica.seen.at
    world.run(6.0, page=page)
    assert (replica.load, replica.seen.at) == (before, seen_at)
    assert world.scraper.failures >= 3
    assert replica.is_serving()


def test_who_takes_too_long_is_given_up_and_asked_again() -> None:
    world = Round("a")
    world.run(20.0, answer=False)
    assert len(world.asked) >= 3
    assert [each.is_closed for each in world.asked[:-1]] == [True] * (len(world.asked) - 1)
    assert all(late.at - early.at >= LONGEST_ANSWER for early, late in itertools.pairwise(world.asked))


def test_who_is_gone_or_not_ready_is_not_asked() -> None:
    world = Round("a", "b")
    world.run(2.0, answer=False)
    world.publish("b", condition=Condition.DRAINING)
    world.scraper.sweep()
    asked = len(world.asked)
    assert all(each.is_closed for each in world.asked)
    world.run(10.0, page=None)
    assert len(world.asked) == asked


def test_software_without_such_a_page_is_left_alone() -> None:
    world = Round("a", engine="openai")
    world.run(10.0)
    assert world.asked == []


def test_nothing_is_asked_any_more_after_the_end() -> None:
    world = Round("a", "b")
    world.run(2.0, answer=False)
    world.scraper.close()
    assert all(each.is_closed for each in world.asked)
