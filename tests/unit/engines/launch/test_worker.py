"""One worker's life in virtual time, with a fake process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engines.launch.address import UnixSocket
from engines.launch.errors import ModelUnusable
from engines.launch.orphans import ProcessesRemain
from engines.launch.progress import StartTimes
from engines.launch.ready import NeverReady
from engines.launch.restarts import Restarts
from engines.launch.spec import WorkerSpec
from engines.launch.tail import Tail
from engines.launch.worker import TERM_GRACE_S, Surroundings, Worker, describe_exit, unbroken
from engines.roster import WorkerRecord, WorkerStatus

LOAD_S = 30.0

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@dataclass
class FakeChild:
    """A process that exits when told to, by the test or by `stop`."""

    launcher: FakeLauncher
    pid: int
    tail: Tail = field(default_factory=Tail)
    graces: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note_members(self) -> None:
        self.launcher.noted += 1

    async def wait(self) -> int:
        return await asyncio.shield(self.exited)

    async def stop(self, *, grace_s: float) -> None:
        self.graces.append(grace_s)
        if self.launcher.is_stuck:
            raise ProcessesRemain("t-0", (self.pid,))
        if not self.exited.done():
            await asyncio.wait({self.exited}, timeout=min(grace_s, self.launcher.takes_to_end_s))
            if not self.exited.done():
                self.exited.set_result(0)


@dataclass
class FakeLauncher:
    """Starts fake children; `load` says what the next start does while it loads."""

    load: Callable[[FakeChild], None] = lambda _child: None
    never: str | None = None
    load_s: float = LOAD_S
    requests: list[int | None] = field(default_factory=list)
    """What the engine tells of its requests, one poll after another; 0 when used up."""
    takes_to_end_s: float = 1.0
    is_stuck: bool = False
    cannot_start: bool = False
    children: list[FakeChild] = field(default_factory=list)
    noted: int = 0
    on_line: Callable[[str], None] = print

    async def spawn(self, spec: WorkerSpec, on_line: Callable[[str], None]) -> FakeChild:
        if self.cannot_start:
            raise FileNotFoundError("no python")
        self.on_line = on_line
        self.children.append(FakeChild(self, pid=100 + len(self.children)))
        self.load(self.children[-1])
        return self.children[-1]

    async def until_ready(self, spec: WorkerSpec, on_phase: Callable[[str], None]) -> None:
        await asyncio.sleep(self.load_s)
        if self.never:
            raise NeverReady(self.never)

    async def in_flight(self, spec: WorkerSpec) -> int | None:
        return self.requests.pop(0) if self.requests else 0


class Life:
    """One worker under test, and all that it said."""

    def __init__(self, tmp_path: Path, launcher: FakeLauncher, *, broken: str | None = None) -> None:
        self.launcher = launcher
        self.told: list[tuple[float, str]] = []
        self.statuses: list[WorkerStatus] = []
        self.broken = broken
        self.starts = 0
        self.worker = Worker(
            WorkerRecord(
                id="t-0",
                group="t",
                models={},
                engine="vllm",
                address="",
                api_key="",
                max_in_flight=1,
                status=WorkerStatus.WAITING,
                phase="checking",
                since=0,
            ),
            prepare=self.prepare,
            restarts=Restarts(Random(1)),
            around=Surroundings(
                launcher=launcher,
                times=StartTimes(tmp_path / "times.json"),
                wall=lambda: asyncio.get_running_loop().time(),
                announce=lambda line: self.told.append((asyncio.get_running_loop().time(), line)),
                changed=self.note,
            ),
        )

    async def prepare(self) -> WorkerSpec:
        self.starts += 1
        if self.broken:
            raise ModelUnusable(
                self.broken, where="engines[t].model", why="it is not there", remedy="correct it"
            )
        return WorkerSpec(
            id="t-0",
            group="t",
            engine="vllm",
            argv=("python", "--model", "m"),
            env={"CUDA_VISIBLE_DEVICES": ""},
            address=UnixSocket(Path("/run/t-0.sock")),
            api_key=f"key-{self.starts}",
            models={"t": "t"},
            max_in_flight=1,
            start_timeout_s=100,
        )

    def note(self) -> None:
        if self.statuses[-1:] != [self.worker.status]:
            self.statuses.append(self.worker.status)

    def lines(self) -> list[str]:
        return [line for _, line in self.told]

    async def until(self, status: WorkerStatus) -> None:
        async with asyncio.timeout(1000):
            while self.worker.status is not status:  # noqa: ASYNC110 - the statuses are what is tested
                await asyncio.sleep(0.01)


S = WorkerStatus


def crash_after(seconds: float, code: int = 1, says: str = "") -> Callable[[FakeChild], None]:
    def load(child: FakeChild) -> None:
        child.tail.add(says)
        asyncio.get_running_loop().call_later(seconds, child.exited.set_result, code)

    return load


def test_a_start_a_drain_and_a_stop_in_order(run: Run, tmp_path: Path):
    life = Life(tmp_path, FakeLauncher(requests=[2, 1, 0]))

    async def main() -> None:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        life.worker.ask_to_stop(60)
        await task

    run(main())
    assert life.statuses == [S.WAITING, S.STARTING, S.READY, S.DRAINING, S.STOPPED]
    assert life.launcher.requests == []
    assert life.launcher.children[0].graces == [TERM_GRACE_S]
    assert life.worker.record.pid is None
    assert life.lines()[-1] == "t-0  stopped"


def test_while_it_loads_a_line_comes_at_least_every_2_s(run: Run, tmp_path: Path):
    launcher = FakeLauncher()
    life = Life(tmp_path, launcher)
    launcher.load = lambda _: launcher.on_line("INFO Starting to load model /m...")

    async def main() -> None:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        life.worker.ask_to_stop(0)
        await task

    run(main())
    times = [at for at, line in life.told if "starting" in line]
    assert times[0] == 0
    assert max(after - before for before, after in zip(times, [*times[1:], LOAD_S], strict=True)) <= 2
    assert life.lines()[3] == "t-0  starting  4 s  loading weights"
    assert launcher.noted >= len(times)


def test_the_second_start_knows_how_long_the_first_took(run: Run, tmp_path: Path):
    async def once() -> Life:
        life = Life(tmp_path, FakeLauncher())
        task = asyncio.create_task(life.worker.run())
        await life.until(S.STARTING)
        life.ready_at = life.worker.record.ready_at  # type: ignore[attr-defined]
        await life.until(S.READY)
        life.worker.ask_to_stop(0)
        await task
        return life

    assert run(once()).ready_at is None  # type: ignore[attr-defined]
    second = run(once())
    assert second.ready_at == pytest.approx(LOAD_S, abs=0.1)  # type: ignore[attr-defined]
    assert second.lines()[1].endswith("(usually ready after 30 s)")


@pytest.mark.parametrize("code", [0, 1, -9])
def test_any_exit_that_was_not_asked_for_is_a_crash(run: Run, tmp_path: Path, code: int):
    life = Life(tmp_path, FakeLauncher())

    async def main() -> None:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        life.launcher.children[0].exited.set_result(code)
        await life.until(S.WAITING)
        await life.until(S.READY)
        life.worker.ask_to_stop(0)
        await task

    run(main())
    assert life.statuses[1:6] == [S.STARTING, S.READY, S.WAITING, S.STARTING, S.READY]
    assert life.worker.record.restarts == 1
    assert life.worker.record.last_error == describe_exit(code)
    assert life.worker.record.api_key == "key-2"
    assert life.launcher.children[0].graces == [0]  # its leftovers are killed at once


def test_a_crash_loop_backs_off_and_is_given_up_at_the_fifth_failure(run: Run, tmp_path: Path):
    life = Life(
        tmp_path, FakeLauncher(load=crash_after(2, says="(APIServer pid=1) ValueError: no such parser"))
    )

    async def main() -> float:
        await life.worker.run()
        return asyncio.get_running_loop().time()

    took = run(main())
    assert len(life.launcher.children) == 5
    assert 5 * 2 + (1 + 2 + 4 + 8) * 0.75 <= took <= 5 * 2 + (1 + 2 + 4 + 8) * 1.25
    assert life.worker.status is S.FAILED
    assert life.worker.record.last_error == "it exited with code 1: ValueError: no such parser"
    assert life.worker.record.log_tail == ("(APIServer pid=1) ValueError: no such parser",)


def test_what_cannot_succeed_is_not_tried(run: Run, tmp_path: Path):
    life = Life(tmp_path, FakeLauncher(), broken="there is no model")
    run(life.worker.run())
    assert life.starts == 1
    assert life.launcher.children == []
    assert life.worker.status is S.FAILED
    assert life.worker.record.last_error is not None
    assert "correct it" in life.worker.record.last_error


def test_a_process_that_cannot_be_started_counts_as_a_failure(run: Run, tmp_path: Path):
    life = Life(tmp_path, FakeLauncher(cannot_start=True))
    run(life.worker.run())
    assert life.starts == 5
    assert life.worker.record.last_error == "it could not be started: no python"


@pytest.mark.parametrize(
    ("launcher", "reason"),
    [
        (FakeLauncher(load_s=1e6), "it was not ready after 100 s, while importing the engine"),
        (FakeLauncher(never="it serves ['x'], not ['t']"), "it serves ['x'], not ['t']"),
    ],
)
def test_a_worker_that_never_becomes_ready_is_ended_and_restarted(
    run: Run, tmp_path: Path, launcher: FakeLauncher, reason: str
):
    life = Life(tmp_path, launcher)
    run(life.worker.run())
    assert life.worker.status is S.FAILED
    assert life.worker.record.last_error == reason
    assert S.READY not in life.statuses
    assert all(child.graces == [0] for child in launcher.children)


@pytest.mark.parametrize(
    ("requests", "expected_s"),
    [
        ([5] * 1000, 20),  # the grace
        ([None] * 1000, 1 + 3),  # it does not tell: a wedged engine is not waited for
        ([5, None, 5, 0], 1 + 3),
    ],
)
def test_a_drain_ends_at_zero_at_silence_or_at_the_grace(
    run: Run, tmp_path: Path, requests: list[int | None], expected_s: float
):
    life = Life(tmp_path, FakeLauncher(requests=requests, takes_to_end_s=0))

    async def main() -> float:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        began = loop.time()
        life.worker.ask_to_stop(20)
        await task
        return loop.time() - began

    assert run(main()) == pytest.approx(expected_s, abs=0.1)


def test_a_crash_while_draining_is_the_end_and_no_restart(run: Run, tmp_path: Path):
    life = Life(tmp_path, FakeLauncher(requests=[1] * 100))

    async def main() -> None:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        life.worker.ask_to_stop(1e6)
        await life.until(S.DRAINING)
        life.launcher.children[0].exited.set_result(0)
        await task

    run(main())
    assert len(life.launcher.children) == 1
    assert life.statuses == [S.WAITING, S.STARTING, S.READY, S.DRAINING, S.STOPPED]


def test_asked_twice_it_neither_drains_nor_waits_for_the_process(run: Run, tmp_path: Path):
    life = Life(tmp_path, FakeLauncher(requests=[1] * 10_000, takes_to_end_s=1000))

    async def main() -> float:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        began = asyncio.get_running_loop().time()
        life.worker.ask_to_stop(1e6)
        life.worker.ask_to_stop(1e6)
        await task
        return asyncio.get_running_loop().time() - began

    assert run(main()) < 0.1
    assert life.launcher.children[0].graces == [TERM_GRACE_S, 0]


@pytest.mark.parametrize("status", [S.STARTING, S.WAITING])
def test_a_stop_in_any_state_leaves_no_process(run: Run, tmp_path: Path, status: WorkerStatus):
    life = Life(tmp_path, FakeLauncher(load=crash_after(5)))

    async def main() -> None:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.STARTING)
        await life.until(status)
        life.worker.ask_to_stop(60)
        await task

    run(main())
    assert life.worker.status is S.STOPPED
    assert len(life.launcher.children) == 1
    assert life.launcher.children[0].exited.done()


def test_a_cancelled_life_still_ends_its_process(run: Run, tmp_path: Path):
    life = Life(tmp_path, FakeLauncher())

    async def main() -> None:
        task = asyncio.create_task(life.worker.run())
        await life.until(S.READY)
        task.cancel()
        await asyncio.wait({task})

    run(main())
    assert life.launcher.children[0].exited.done()


def test_processes_that_cannot_be_killed_are_told_and_nothing_new_is_started_beside_them(
    run: Run, tmp_path: Path
):
    life = Life(tmp_path, FakeLauncher(is_stuck=True, load=crash_after(1)))
    run(life.worker.run())
    assert life.worker.status is S.FAILED
    assert life.worker.record.last_error == "t-0: processes 100 cannot be killed"
    assert len(life.launcher.children) == 1


def test_unbroken_work_is_done_before_a_cancellation_is_raised(run: Run):
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(5)
        done.append("work")

    async def main() -> None:
        task = asyncio.create_task(unbroken(work()))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["work"]

    run(main())


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "it exited with code 0"), (-9, "it was ended by SIGKILL"), (-200, "it exited with code -200")],
)
def test_an_exit_in_words(code: int, words: str):
    assert describe_exit(code) == words
