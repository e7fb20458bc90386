"""Shared counts over a real server that hangs, dies, forgets, refuses and is meddled with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.ratelimit.base import Calendar, Pending, Refused, Rule, Taken, Unavailable, Unit
from gateway.ratelimit.shared.count import Count
from gateway.ratelimit.shared.counters import SharedCounters
from gateway.ratelimit.shared.wire import Patience
from tests.support import valkey
from tests.support.clock import Clock

MINUTE = Rule("key:a|requests|60", Unit.REQUESTS, 10, 60.0)
DAY = Rule("key:a|tokens|day", Unit.TOKENS, 1000, Calendar.DAY)
SLOTS = Rule("key:a|slots", Unit.SLOTS, 10, None)
ALL = (MINUTE, DAY, SLOTS)
LIMITS = (10, 1000, 10)


class Waiting:
    def __init__(self) -> None:
        self.told: asyncio.Future = asyncio.get_running_loop().create_future()

    def taken(self, taken) -> None:
        self.told.set_result(taken)

    refused = taken


async def ask(counters: SharedCounters, *wants: tuple[Rule, int]):
    waiting = Waiting()
    answer = counters.take([rule for rule, _ in wants], [amount for _, amount in wants], waiting)
    if not isinstance(answer, Pending):
        return answer
    async with asyncio.timeout(10):
        return await waiting.told


async def admitted(counters: SharedCounters, rule: Rule, times: int) -> int:
    return sum([isinstance(await ask(counters, (rule, 1)), Taken) for _ in range(times)])


@pytest.fixture
def server() -> Iterator[valkey.Server]:
    with valkey.server() as running:
        yield running


@contextlib.asynccontextmanager
async def gateways(server: valkey.Server, number: int, **more) -> AsyncIterator[list[SharedCounters]]:
    """So many, who all know of each other."""
    async with contextlib.AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(valkey.shared(server.path, name=f"g{n}", **more))
            for n in range(number)
        ]
        await valkey.until(lambda: all(each.state().gateways == number for each in found))
        yield found


async def is_down(*counters: SharedCounters) -> None:
    await valkey.until(lambda: not any(each.state().is_up for each in counters))


async def is_up(*counters: SharedCounters) -> None:
    await valkey.until(lambda: all(each.state().is_up for each in counters))


async def test_a_server_that_hangs_is_waited_for_once_and_then_done_without(server):
    async with gateways(server, 1, patience=Patience(connect=5.0)) as [counters]:
        assert isinstance(await ask(counters, (MINUTE, 1)), Taken)
        server.stop()
        waiting = [Waiting() for _ in range(20)]
        answers = [counters.take([MINUTE], [1], each) for each in waiting]
        first = [
            await each.told
            for answer, each in zip(answers, waiting, strict=True)
            if isinstance(answer, Pending)
        ]
        assert first
        assert {type(each) for each in first} <= {Taken, Refused}
        later = [counters.take([MINUTE], [1], Waiting()) for _ in range(20)]
        assert {type(each) for each in later} <= {Taken, Refused}
        assert counters.state().trouble is not None
        server.go_on()
        await is_up(counters)
        assert counters.state().trouble is None


async def test_while_the_server_is_gone_all_gateways_together_keep_to_the_limit(server):
    few = MINUTE._replace(key="key:few|requests|60", limit=2)
    async with gateways(server, 3) as found:
        server.kill()
        await is_down(*found)
        assert [await admitted(each, MINUTE, 20) for each in found] == [4, 3, 3]
        assert [await admitted(each, SLOTS, 20) for each in found] == [4, 3, 3]
        assert [await admitted(each, few, 20) for each in found] == [1, 1, 0]
        too_much = await ask(found[0], (DAY, 500))
        assert isinstance(too_much, Refused)
        assert too_much.after <= 1.0


async def test_what_was_used_before_an_outage_counts_in_it(server):
    async with gateways(server, 2) as found:
        for each in found:
            assert isinstance(await ask(each, (MINUTE, 4), (DAY, 400)), Taken)
        server.kill()
        await is_down(*found)
        total = sum([await admitted(each, MINUTE, 20) for each in found])
        assert 1 <= total <= 5


async def test_what_was_used_in_an_outage_is_told_to_the_server_after_it(server):
    async with gateways(server, 1) as [counters]:
        server.kill()
        await is_down(counters)
        taken = await ask(counters, (DAY, 300), (SLOTS, 2), (MINUTE, 1))
        await ask(counters, (DAY, 100), (SLOTS, 1), (MINUTE, 1))
        server.restart()
        await is_up(counters)
        rest = await ask(counters, *[(rule, 0) for rule in ALL])
        assert list(rest.left) == [8, 600, 7]
        taken.settle([100, 2, 1])
        rest = await ask(counters, *[(rule, 0) for rule in ALL])
        assert list(rest.left) == [8, 800, 9]


async def test_a_server_that_forgot_everything_is_told_of_budgets(server):
    async with gateways(server, 1) as [counters]:
        await ask(counters, (DAY, 600), (MINUTE, 5))
        server.kill()
        await is_down(counters)
        assert isinstance(await ask(counters, (DAY, 100)), Taken)
        server.restart()
        await is_up(counters)
        assert list((await ask(counters, (DAY, 0), (MINUTE, 0))).left) == [300, 10]


async def test_a_server_that_remembers_is_told_no_budget_that_was_given_back(server):
    async with gateways(server, 1) as [counters]:
        taken = await ask(counters, (DAY, 600))
        taken.settle([100])
        assert list((await ask(counters, (DAY, 0))).left) == [900]
        with server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        await is_down(counters)
        await is_up(counters)
        assert list((await ask(counters, (DAY, 0))).left) == [900]


async def test_a_server_that_forgot_everything_gives_nobody_the_slots_that_others_hold(server):
    async with gateways(server, 2) as (first, second):
        held = [await ask(first, (SLOTS, 1)) for _ in range(5)]
        with server.client() as client:
            client.flushall()
        assert await admitted(second, SLOTS, 20) == 5
        assert await admitted(first, SLOTS, 20) == 0
        held[0].settle([1])
        assert await admitted(first, SLOTS, 20) == 1


async def test_a_gateway_may_hold_more_slots_than_its_share_where_the_server_remembers_all(server):
    async with gateways(server, 2) as (first, second):
        with server.client() as client:
            client.set("{cascadia}:born", 0)
        assert await admitted(first, SLOTS, 9) == 9
        assert await admitted(second, SLOTS, 9) == 1


async def test_slots_of_a_gateway_that_died_come_back_and_those_of_one_that_lives_do_not(server):
    clock = Clock()
    wall = valkey.told(clock, 1_795_521_600.0)
    async with gateways(server, 3, clock=clock, wall=wall) as [living, dying, other]:
        assert await admitted(dying, SLOTS, 6) == 6
        assert await admitted(living, SLOTS, 6) == 4
        clock.advance(9.0)
        living._renew()
        await ask(living, (MINUTE, 0))  # answered after what it renewed
        clock.advance(2.0)
        assert await admitted(other, SLOTS, 20) == 6


@pytest.mark.parametrize(
    ("harm", "mend"),
    [
        pytest.param(
            [("CONFIG", "SET", "maxmemory", "1")], [("CONFIG", "SET", "maxmemory", "0")], id="out of memory"
        ),
        pytest.param([("REPLICAOF", "127.0.0.1", "1")], [("REPLICAOF", "NO", "ONE")], id="read only"),
    ],
)
async def test_a_server_that_takes_no_writes_is_done_without_until_it_does(server, harm, mend):
    async with gateways(server, 1) as [counters]:
        with server.client() as client:
            for words in harm:
                client.execute_command(*words)
            assert await admitted(counters, MINUTE, 30) == 10
            assert not counters.state().is_up
            for words in mend:
                client.execute_command(*words)
        await is_up(counters)
        assert isinstance(await ask(counters, (DAY, 1)), Taken)


async def test_scripts_that_the_server_forgot_are_sent_again(server):
    async with gateways(server, 1) as [counters]:
        with server.client() as client:
            client.script_flush()
        assert await admitted(counters, MINUTE, 12) == 10
        assert counters.state().alone == 0


@pytest.mark.parametrize("garbage", ["string", "fields", "list", "sum"])
async def test_garbage_at_a_key_refuses_nobody_for_ever(server, garbage):
    async with gateways(server, 1) as [counters]:
        await ask(counters, *[(rule, 1) for rule in ALL])
        with server.client() as client:
            for rule in ALL:
                key = counters._counts[rule.key].name
                if garbage == "string":
                    client.set(key, "x")
                elif garbage == "list":
                    client.delete(key)
                    client.rpush(key, "x")
                elif garbage == "sum":
                    client.hset(key, "s", "1e99")
                else:
                    for field in client.hkeys(key):
                        client.hset(key, field, "\x00x")
        answer = await ask(counters, *[(rule, 1) for rule in ALL])
        assert isinstance(answer, Taken)
        answer.settle([0, 5, 1])
        assert isinstance(await ask(counters, *[(rule, 1) for rule in ALL]), Taken)
        assert counters.state().is_up
        assert counters.state().alone == 0


async def test_an_operator_who_wants_no_guesses_gets_none(server):
    async with gateways(server, 1, refuses_alone=True) as [counters]:
        server.kill()
        await is_down(counters)
        answer = await ask(counters, (MINUTE, 1))
        assert isinstance(answer, Unavailable)
        assert answer.after > 0


async def test_a_gateway_that_never_reached_the_server_counts_by_itself(tmp_path):
    async with valkey.shared(tmp_path / "nothing.sock", wait=False) as counters:
        assert await admitted(counters, MINUTE, 20) == 10
        assert counters.state().trouble is not None


async def test_every_key_ends_by_itself(server):
    async with gateways(server, 1) as [counters]:
        taken = await ask(counters, *[(rule, 1) for rule in ALL])
        taken.settle([1, 3, 1])
        await ask(counters, *[(rule, 1) for rule in ALL])
        with server.client() as client:
            keys = list(client.scan_iter())
            assert {client.ttl(key) > 0 for key in keys} == {True}
            assert all(b"{cascadia}" in key for key in keys)


async def test_a_busy_count_is_taken_from_stock_and_never_beyond_its_limit(server):
    clock = Clock()
    wall = valkey.told(clock, 1_795_521_600.0)
    busy = MINUTE._replace(key="key:busy|requests|60", limit=1000)
    rules = [busy]
    async with gateways(server, 2, clock=clock, wall=wall) as found:
        total = 0
        for _ in range(400):
            clock.advance(0.002)
            for each in found:
                waiting = Waiting()
                answer = each.take(rules, [1], waiting)
                answer = await waiting.told if isinstance(answer, Pending) else answer
                total += isinstance(answer, Taken)
        assert total == 800
        assert sum(each.state().from_stock for each in found) > sum(each.state().asked for each in found)
        for each in found:
            total += await admitted(each, busy, 300)
        assert 900 <= total <= 1000
        clock.advance(1.0)
        for each in found:
            each._sweep()
            each._tell()
        total += await admitted(found[0], busy, 200)
        assert total == 1000


async def test_stock_counts_from_when_it_may_be_used_last(server):
    """Taken early and used late, it must not be forgotten as early as it was taken."""
    clock = Clock()
    wall = valkey.told(clock, 1_795_521_600.0)
    short = Rule("key:short|requests|2", Unit.REQUESTS, 100, 2.0)
    rules = [short]
    async with gateways(server, 1, clock=clock, wall=wall) as [counters]:
        for _ in range(30):
            clock.advance(0.003)
            waiting = Waiting()
            answer = counters.take(rules, [1], waiting)
            assert isinstance(await waiting.told if isinstance(answer, Pending) else answer, Taken)
        stock = counters._counts[short.key]
        assert stock.stock > 0
        clock.advance(stock.until - clock() - 0.001)
        late = 0
        while isinstance(counters.take(rules, [1], waiting), Taken):
            late += 1
        counters._due._amounts.clear()  # the last one was asked; what matters is counted
        assert late > 0
        clock.advance(2.0 - 0.1)  # the late ones are younger than the period, all else is older
        assert isinstance(await ask(counters, (short, 1)), Taken)
        left = (await ask(counters, (short, 0))).left[0]
        assert left <= 100 - 1 - late


async def test_what_was_used_beyond_is_told_again_when_the_server_did_not_hear_it(server):
    async with gateways(server, 1, patience=Patience(connect=5.0)) as [counters]:
        taken = await ask(counters, (MINUTE, 1))
        server.stop()
        taken.settle([4])
        await is_down(counters)
        server.go_on()
        server.kill()
        server.restart()
        await is_up(counters)
        assert (await ask(counters, (MINUTE, 0))).left[0] == 7


async def test_a_refusal_gives_back_what_came_out_of_stock_for_it(server):
    clock = Clock()
    wall = valkey.told(clock, 1_795_521_600.0)
    busy = MINUTE._replace(key="key:busy|requests|60", limit=1000)
    rules = [busy]
    async with gateways(server, 1, clock=clock, wall=wall) as [counters]:
        assert await admitted(counters, MINUTE, 20) == 10
        for _ in range(50):
            clock.advance(0.002)
            waiting = Waiting()
            answer = counters.take(rules, [1], waiting)
            assert isinstance(await waiting.told if isinstance(answer, Pending) else answer, Taken)
        assert counters._counts[busy.key].stock > 0
        for _ in range(10):
            assert isinstance(await ask(counters, (busy, 1), (MINUTE, 1)), Refused)
        assert await admitted(counters, busy, 1000) == 950


async def test_stock_leaves_others_most_of_what_is_left_however_much_is_wanted(server, monkeypatch):
    async with gateways(server, 2) as (greedy, other):
        monkeypatch.setattr(Count, "wants", lambda *_: 1000)
        assert isinstance(await ask(greedy, (MINUTE, 1), (SLOTS, 1), (DAY, 100)), Taken)
        monkeypatch.undo()
        assert [greedy._counts[rule.key].stock for rule in (MINUTE, DAY)] == [9 // 4, 900 // 4]
        assert await admitted(other, MINUTE, 20) == 7


async def test_what_is_given_back_after_midnight_makes_no_budget_larger(server):
    clock = Clock()
    wall = valkey.told(clock, 1_795_564_000.0)  # 2026-11-24T23:46:40Z
    async with gateways(server, 1, clock=clock, wall=wall) as [counters]:
        counters._link.close("away")
        old = counters.take([DAY], [900], Waiting())
        assert isinstance(old, Taken)
        await is_up(counters)
        assert (await ask(counters, (DAY, 0))).left == [100]
        clock.advance(1800.0)
        assert (await ask(counters, (DAY, 500))).left == [500]
        old.settle([0])
        assert (await ask(counters, (DAY, 0))).left == [500]


async def test_a_budget_told_of_before_midnight_is_not_charged_to_the_next_day(server):
    clock = Clock()
    wall = valkey.told(clock, 1_795_564_000.0)
    async with gateways(server, 1, clock=clock, wall=wall) as [counters]:
        counters._link.close("away")
        counters.seed(DAY, 900)
        clock.advance(1800.0)
        await is_up(counters)
        assert (await ask(counters, (DAY, 0))).left == [1000]
        counters.seed(DAY, 300)
        assert (await ask(counters, (DAY, 0))).left == [700]


async def test_what_a_window_was_given_back_late_lets_nobody_pass_the_limit(server):
    clock = Clock()
    wall = valkey.told(clock, 1_795_521_600.0)
    async with gateways(server, 1, clock=clock, wall=wall) as [counters]:
        counters._link.close("away")
        old = counters.take([MINUTE], [5], Waiting())
        assert isinstance(old, Taken)
        await is_up(counters)
        assert (await ask(counters, (MINUTE, 0))).left == [5]
        clock.advance(80.0)
        assert (await ask(counters, (MINUTE, 10))).left == [0]
        old.settle([0])
        assert isinstance(await ask(counters, (MINUTE, 1)), Refused)
