"""The parent of gateway and engines: restarts what crashed, gives up what was refused, drains in order."""

import asyncio
import random
import signal

import pytest

from gateway.cli.parent import CALM_S, LONGEST_BACKOFF_S, Backoff, Child, Family, Role

GATEWAY = Role("gateway", ["gateway"], 60.0)
ENGINES = Role("engines", ["engines"], 60.0)


class Process:
    """A child that lives until the test ends it; `reactions` says what each signal does to it."""

    def __init__(self, world, role, pid):
        self.world, self.role, self.pid, self.returncode = world, role, pid, None
        self.ended = asyncio.Event()

    async def wait(self):
        await self.ended.wait()
        return self.returncode

    def end(self, code):
        self.returncode = code
        self.ended.set()

    def signalled(self, number):
        self.world.signals.append((self.role.name, number))
        if number == signal.SIGKILL:
            self.end(-9)
        elif number == signal.SIGTERM and self.world.obedient:
            self.end(0)


class World:
    """Processes that exist in the test alone."""

    def __init__(self, monkeypatch):
        self.processes, self.signals, self.said, self.obedient = [], [], [], True
        self.spawned = asyncio.Condition()
        monkeypatch.setattr("gateway.cli.parent.os.kill", self.kill)
        monkeypatch.setattr("gateway.cli.parent.reap_orphans", lambda _: None)

    async def spawn(self, role):
        async with self.spawned:
            process = Process(self, role, 10_000 + len(self.processes))
            self.processes.append(process)
            self.spawned.notify_all()
        return process

    def kill(self, pid, number):
        self.processes[pid - 10_000].signalled(number)

    def child(self, role, **more):
        return Child(role, spawn=self.spawn, say=self.said.append, backoff=NoPause(), **more)

    async def until(self, count):
        async with self.spawned:
            await asyncio.wait_for(self.spawned.wait_for(lambda: len(self.processes) >= count), 5)
        return self.processes[count - 1]


async def eventually(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition has no event
            await asyncio.sleep(0)


class NoPause:
    def after(self, lived_s):
        return 0.0


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


async def test_a_child_killed_by_a_signal_is_started_again_even_in_its_first_moment(world):
    running = asyncio.create_task(world.child(GATEWAY).run())
    (await world.until(1)).end(-11)
    await world.until(2)
    assert any("SIGSEGV" in line for line in world.said)
    running.cancel()


@pytest.mark.parametrize("code", [0, 1, 2, 78])
async def test_a_child_that_ends_itself_in_its_first_moments_is_given_up(world, code):
    running = asyncio.create_task(world.child(GATEWAY).run())
    (await world.until(1)).end(code)
    assert await running == code
    assert len(world.processes) == 1


@pytest.mark.parametrize("code", [0, 1])
async def test_a_child_that_ends_itself_after_it_settled_is_started_again(world, code):
    running = asyncio.create_task(world.child(GATEWAY, settled_s=0.0).run())
    (await world.until(1)).end(code)
    await world.until(2)
    running.cancel()


async def test_a_child_whose_configuration_became_wrong_is_given_up_also_later(world):
    running = asyncio.create_task(world.child(GATEWAY, settled_s=0.0).run())
    (await world.until(1)).end(78)
    assert await running == 78


async def test_a_child_asked_to_stop_between_two_lives_is_not_started_again(world):
    child = Child(GATEWAY, spawn=world.spawn, say=world.said.append, backoff=Long())
    running = asyncio.create_task(child.run())
    (await world.until(1)).end(-9)
    await eventually(lambda: world.said)
    child.ask_to_stop()
    assert await running == -9
    assert len(world.processes) == 1


class Long:
    def after(self, lived_s):
        return 3600.0


async def test_the_first_signal_drains_the_gateway_and_then_the_engines(world):
    family = Family([world.child(GATEWAY), world.child(ENGINES)], world.said.append)
    running = asyncio.create_task(family.run())
    await world.until(2)
    family.interrupt()
    assert await running == 0
    assert world.signals == [("gateway", signal.SIGTERM), ("engines", signal.SIGTERM)]


async def test_the_engines_run_until_the_gateway_has_drained(world):
    world.obedient = False
    family = Family([world.child(GATEWAY), world.child(ENGINES)], world.said.append)
    running = asyncio.create_task(family.run())
    await world.until(2)
    family.interrupt()
    await eventually(lambda: world.signals)
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.signals == [("gateway", signal.SIGTERM)]
    world.processes[0].end(0)
    await eventually(lambda: len(world.signals) == 2)
    world.processes[1].end(0)
    assert await running == 0


async def test_a_second_signal_ends_both_now(world):
    world.obedient = False
    family = Family([world.child(GATEWAY), world.child(ENGINES)], world.said.append, kill_after_s=0.01)
    running = asyncio.create_task(family.run())
    await world.until(2)
    family.interrupt()
    family.interrupt()
    assert await running == 0
    assert [number for name, number in world.signals if name == "gateway"] == [15, 15, 9]
    assert [number for name, number in world.signals if name == "engines"] == [15, 15, 9]


async def test_a_drain_that_takes_too_long_is_ended(world):
    world.obedient = False
    short = Role("gateway", [], 0.01)
    family = Family([world.child(short)], world.said.append, kill_after_s=0.01)
    running = asyncio.create_task(family.run())
    await world.until(1)
    family.interrupt()
    assert await running == 0
    assert world.signals[-1] == ("gateway", signal.SIGKILL)


@pytest.mark.parametrize(("code", "gives"), [(78, 78), (1, 1), (0, 1)])
async def test_when_one_ends_for_good_so_does_the_other_and_the_code_is_passed_on(world, code, gives):
    family = Family([world.child(GATEWAY), world.child(ENGINES)], world.said.append)
    running = asyncio.create_task(family.run())
    await world.until(2)
    world.processes[1].end(code)
    assert await running == gives
    assert world.processes[0].returncode == 0


def test_pauses_grow_to_a_bound_and_are_forgiven_after_a_calm_life():
    backoff = Backoff(random.Random(1))
    pauses = [backoff.after(1.0) for _ in range(12)]
    assert all(0.25 * 2**n <= pause <= 0.5 * 2**n for n, pause in enumerate(pauses[:6]))
    assert all(LONGEST_BACKOFF_S / 2 <= pause <= LONGEST_BACKOFF_S for pause in pauses[7:])
    assert backoff.after(CALM_S) <= 0.5
