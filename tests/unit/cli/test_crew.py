"""The parent of several gateway processes: restarts what died, replaces without a gap, drains all."""

import asyncio
import signal

import pytest

from gateway.cli.crew import Crew, Keeper

LEAVE = signal.SIGUSR1


class Life:
    """A process that lives until the test or a signal ends it."""

    def __init__(self, world, seat, number, joins):
        self.world, self.seat, self.joins = world, seat, joins
        self.name = f"{seat}-{number}"
        self.code = None
        self.up = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        if world.serves:
            self.up.set_result(True)

    @property
    def is_over(self):
        return self.code is not None

    async def is_up(self, seconds):
        return await asyncio.wait_for(asyncio.shield(self.up), seconds)

    async def wait(self):
        await self.ended.wait()
        return self.code

    def end(self, code):
        self.code = code
        if not self.up.done():
            self.up.set_result(False)
        self.ended.set()

    def send(self, number):
        if self.is_over:
            return
        self.world.log.append((self.name, number))
        if number == signal.SIGKILL:
            self.end(-9)
        elif number in self.world.obeyed:
            self.end(0)


class World:
    def __init__(self):
        self.lives, self.log, self.buried_, self.said = [], [], [], []
        self.serves, self.obeyed, self.ups, self.renews = True, {signal.SIGTERM, LEAVE}, 0, True
        self.changed = asyncio.Event()

    async def start(self, seat, *, joins):
        life = Life(self, seat, len(self.lives), joins)
        self.lives.append(life)
        self.log.append((life.name, "start"))
        self.changed.set()
        return life

    def buried(self, life):
        self.buried_.append(life.name)

    async def until(self, holds):
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - one turn of the loop at a time
                await asyncio.sleep(0)

    def crew(self, seats=2):
        def up():
            self.ups += 1

        keepers = [
            Keeper(seat, self, self.said.append, backoff=NoPause(), leave=LEAVE) for seat in range(seats)
        ]
        return Crew(keepers, self.said.append, up, lambda: self.renews, 60.0)


class NoPause:
    def after(self, lived_s):
        return 0.0


@pytest.fixture
def world():
    return World()


async def test_a_process_that_dies_is_started_again_and_joins_the_others(world):
    crew = world.crew()
    running = asyncio.create_task(crew.run())
    await world.until(lambda: world.ups)
    world.lives[0].end(-9)
    await world.until(lambda: len(world.lives) == 3)
    assert [(each.seat, each.joins) for each in world.lives] == [(0, False), (1, False), (0, True)]
    assert world.buried_ == ["0-0"]
    assert "ended unasked with SIGKILL" in world.said[0]
    crew.interrupt()
    assert await running == 0


async def test_a_first_start_that_is_refused_ends_all_with_its_code(world):
    world.serves = False
    crew = world.crew()
    running = asyncio.create_task(crew.run())
    await world.until(lambda: len(world.lives) == 2)
    world.lives[1].end(78)
    assert await running == 78
    assert world.ups == 0
    assert all(life.is_over for life in world.lives)


async def test_each_is_replaced_only_once_its_successor_serves(world):
    crew = world.crew()
    running = asyncio.create_task(crew.run())
    await world.until(lambda: world.ups)
    world.serves = False
    crew.hang_up()
    await world.until(lambda: len(world.lives) == 3)
    assert world.log[-1] == ("0-2", "start")
    world.lives[2].up.set_result(True)
    await world.until(lambda: len(world.lives) == 4)
    assert world.log[-2:] == [("0-0", LEAVE), ("1-3", "start")]
    world.lives[3].up.set_result(True)
    await world.until(lambda: "all processes are new" in world.said[-1])
    assert world.buried_ == ["0-0", "1-1"]
    crew.interrupt()
    assert await running == 0


async def test_a_successor_that_does_not_serve_leaves_the_old_ones_where_they_are(world):
    crew = world.crew()
    running = asyncio.create_task(crew.run())
    await world.until(lambda: world.ups)
    world.serves = False
    crew.hang_up()
    await world.until(lambda: len(world.lives) == 3)
    world.lives[2].end(78)
    await world.until(lambda: "the old ones go on" in world.said[-1])
    assert not world.lives[0].is_over
    assert not world.lives[1].is_over
    crew.interrupt()
    assert await running == 0
    assert len(world.lives) == 3


async def test_nothing_is_replaced_for_a_configuration_that_cannot_be_used(world):
    crew = world.crew()
    world.renews = False
    running = asyncio.create_task(crew.run())
    await world.until(lambda: world.ups)
    crew.hang_up()
    await asyncio.sleep(0)
    crew.interrupt()
    assert await running == 0
    assert len(world.lives) == 2


async def test_one_that_dies_while_it_is_replaced_is_not_started_twice(world):
    crew = world.crew(1)
    running = asyncio.create_task(crew.run())
    await world.until(lambda: world.ups)
    world.serves = False
    crew.hang_up()
    await world.until(lambda: len(world.lives) == 2)
    world.lives[0].end(-11)
    for _ in range(10):
        await asyncio.sleep(0)
    world.lives[1].up.set_result(True)
    await world.until(lambda: "all processes are new" in world.said[-1])
    assert len(world.lives) == 2
    crew.interrupt()
    assert await running == 0


async def test_all_are_told_to_drain_at_once_and_the_second_signal_ends_them(world):
    crew = world.crew()
    world.obeyed = set()
    running = asyncio.create_task(crew.run())
    await world.until(lambda: world.ups)
    crew.interrupt()
    await world.until(lambda: len(world.log) == 4)
    assert world.log[-2:] == [("0-0", signal.SIGTERM), ("1-1", signal.SIGTERM)]
    world.obeyed = {signal.SIGTERM}
    crew.interrupt()
    assert await running == 0
    assert world.log[-2:] == [("0-0", signal.SIGTERM), ("1-1", signal.SIGTERM)]
