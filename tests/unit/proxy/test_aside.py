"""Work done aside: where it runs, where it is told of, and what becomes of it when nobody wants it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.proxy.aside import AtOnce, OneThread

SECONDS = 5.0
"""Nothing waits longer: a hang is a failure."""


@pytest.fixture
def aside() -> Iterator[OneThread]:
    one = OneThread()
    yield one
    one.close()


async def test_work_runs_in_a_thread_and_is_told_of_on_the_loop(aside) -> None:
    told: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
    release = threading.Event()

    def work() -> int:
        assert release.wait(SECONDS)  # not over before `run` is
        return threading.get_ident()

    aside.run(work, lambda worker: told.set_result((worker, threading.get_ident())))
    release.set()
    worker, listener = await asyncio.wait_for(told, SECONDS)
    assert worker != listener == threading.get_ident()


async def test_the_loop_goes_on_while_work_is_done_and_one_work_follows_the_other(aside) -> None:
    release, begun = threading.Event(), threading.Event()
    order: list[str] = []
    told = asyncio.Event()

    def first() -> str:
        begun.set()
        assert release.wait(SECONDS)
        return "first"

    def done(name: str) -> None:
        order.append(name)
        if len(order) == 2:
            told.set()

    aside.run(first, done)
    aside.run(lambda: "second", done)
    assert begun.wait(SECONDS)
    await asyncio.sleep(0)
    assert order == []
    release.set()
    await asyncio.wait_for(told.wait(), SECONDS)
    assert order == ["first", "second"]


async def test_what_is_cancelled_before_it_begins_never_does(aside, caplog) -> None:
    release = threading.Event()
    ran: list[str] = []
    told = asyncio.Event()
    aside.run(lambda: release.wait(SECONDS), ran.append)
    unwanted = aside.run(lambda: ran.append("begun"), ran.append)
    unwanted.cancel()
    aside.run(lambda: None, lambda _: told.set())
    release.set()
    await asyncio.wait_for(told.wait(), SECONDS)
    assert ran == [True]
    assert caplog.text == ""


async def test_work_that_has_begun_is_told_of_even_if_it_is_not_wanted_any_more(aside) -> None:
    release, begun = threading.Event(), threading.Event()
    told = asyncio.Event()

    def work() -> None:
        begun.set()
        assert release.wait(SECONDS)

    running = aside.run(work, lambda _: told.set())
    assert begun.wait(SECONDS)
    assert not running.cancel()
    release.set()
    await asyncio.wait_for(told.wait(), SECONDS)


def test_a_loop_that_is_gone_is_no_error(aside, caplog) -> None:
    release = threading.Event()

    async def ask() -> None:
        aside.run(lambda: release.wait(SECONDS), lambda _: None)

    asyncio.run(ask())
    release.set()
    aside._executor.shutdown(wait=True)
    assert caplog.text == ""


async def test_after_the_end_nothing_begins() -> None:
    aside = OneThread()
    release = threading.Event()
    ran: list[str] = []
    aside.run(lambda: release.wait(SECONDS), lambda _: None)
    aside.run(lambda: ran.append("begun"), lambda _: None)
    aside.close()
    release.set()
    aside._executor.shutdown(wait=True)
    assert ran == []


def test_at_once_is_at_once() -> None:
    told: list[int] = []
    assert AtOnce().run(lambda: 1, told.append) is None
    assert told == [1]
