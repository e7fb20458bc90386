"""Runs all workers of this machine: one process, one data folder, one published roster."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pynvml
from filelock import FileLock, Timeout

from config.paths import Paths
from config.schema import Config, EngineGroup
from engines import roster
from engines.launch import gpus as gpu
from engines.launch import orphans, process, ready
from engines.launch.errors import AlreadySupervised, LaunchError
from engines.launch.gpus import Demand, Gpu
from engines.launch.plan import Plan
from engines.launch.precheck import private_folder
from engines.launch.process import WorkerChild
from engines.launch.progress import StartTimes
from engines.launch.restarts import Restarts
from engines.launch.spec import WorkerSpec, models_of, most_in_flight, where, worker_id
from engines.launch.worker import Surroundings, Worker
from engines.roster import Roster, WorkerRecord, WorkerStatus

LOCK_NAME = "engines.lock"
ORPHAN_GRACE_S = 5.0
"""From SIGTERM to SIGKILL for what a former supervisor left: nobody waits for its answers any more."""

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class LocalLauncher:
    """Starts workers as processes of this machine."""

    folder: Path
    logs: Path

    async def spawn(self, spec: WorkerSpec, on_line: Callable[[str], None]) -> WorkerChild:
        """Start the process of `spec`."""
        return await process.spawn(spec, folder=self.folder, logs=self.logs, on_line=on_line)

    async def until_ready(self, spec: WorkerSpec, on_phase: Callable[[str], None]) -> None:
        """Return when the worker answered a real request."""
        async with ready.client(spec.address, spec.api_key) as client:
            await ready.until_ready(client, spec.models.values(), on_phase)

    async def in_flight(self, spec: WorkerSpec) -> int | None:
        """Requests that the worker holds."""
        async with ready.client(spec.address, spec.api_key) as client:
            return await ready.in_flight(client)


class Publication:
    """The roster on disk, kept equal to the workers' records.

    A full disk must not end the workers: the failure is announced once, and `retry()` writes what is owed.
    """

    def __init__(self, path: Path, announce: Callable[[str], None]) -> None:
        self._path = path
        self._announce = announce
        self._self = psutil.Process()
        self._sequence = 0
        self._owed = False
        self.workers: Sequence[Worker] = ()

    def publish(self) -> None:
        """Write all records as they are now."""
        self._sequence += 1
        current = Roster(
            pid=self._self.pid,
            start_time=self._self.create_time(),
            sequence=self._sequence,
            workers=tuple(worker.record for worker in self.workers),
        )
        try:
            roster.write(self._path, current)
        except OSError as error:
            if not self._owed:
                self._announce(f"engines  the roster cannot be written, gateways see an old one: {error}")
            self._owed = True
        else:
            self._owed = False

    async def retry(self) -> None:
        """Write what could not be written, until cancelled."""
        while True:
            await asyncio.sleep(_RETRY_S)
            if self._owed:
                self.publish()


@contextmanager
def only_supervisor(paths: Paths) -> Iterator[None]:
    """Hold the data folder's engines for this process. Raises `AlreadySupervised`, naming who holds them."""
    lock = FileLock(paths.run / LOCK_NAME, mode=0o600)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise AlreadySupervised(
            "the engines of this data folder are already supervised",
            where=str(paths.data),
            why=_holder(paths),
            remedy="stop the other one first, or set another `data_dir`",
        ) from None
    try:
        yield
    finally:
        lock.release()


def _holder(paths: Paths) -> str:
    try:
        published = roster.read(paths.roster)
    except roster.RosterError:
        published = None
    if published and psutil.pid_exists(published.pid):
        return f"process {published.pid} holds {paths.run / LOCK_NAME}"
    return f"another process that is just starting holds {paths.run / LOCK_NAME}"


async def run(
    config: Config,
    paths: Paths,
    *,
    announce: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
    detect: Callable[[], tuple[Gpu, ...]] = lambda: gpu.detect(pynvml),
) -> int:
    """Run the workers of `config` until SIGTERM or SIGINT; 0 when stopped, 1 when every worker was given up.

    `announce` gets one line per change of a worker and, while one starts, one at least every 2 s. The first signal
    drains, a second stops at once; SIGHUP, a terminal that closes, does nothing. When this returns or raises, no
    process of a worker is left. Raises `LaunchError` when nothing can be started at all.
    """
    private_folder(paths.run, where="data_dir")
    private_folder(paths.engine_sockets, where="data_dir")
    with only_supervisor(paths):
        for worker, count in (await orphans.reap(paths.engine_sockets, grace_s=ORPHAN_GRACE_S)).items():
            announce(f"{worker}  ended {count} processes that a former supervisor left behind")
        publication = Publication(paths.roster, announce)
        around = Surroundings(
            launcher=LocalLauncher(paths.engine_sockets, paths.logs),
            times=StartTimes(paths.data / "start-times.json"),
            wall=time.time,
            announce=announce,
            changed=publication.publish,
        )
        publication.workers = _workers(config, paths, environ, detect(), around)
        publication.publish()
        return await _supervise(publication, grace_s=config.server.drain_seconds)


def _workers(
    config: Config, paths: Paths, environ: Mapping[str, str], found: tuple[Gpu, ...], around: Surroundings
) -> tuple[Worker, ...]:
    publishes = config.admission.prefix_source == "events"
    plans = plan(config.engines, paths, environ, found, publishes=publishes)
    return tuple(
        Worker(
            _first_record(each, time.time()),
            prepare=each.prepare,
            restarts=Restarts(random.Random()),  # noqa: S311 - jitter, not a secret
            around=around,
        )
        for each in plans
    )


def plan(
    groups: Sequence[EngineGroup],
    paths: Paths,
    environ: Mapping[str, str],
    found: tuple[Gpu, ...],
    *,
    publishes: bool = False,
) -> tuple[Plan, ...]:
    """One plan per worker of `groups`, GPUs given out. Raises `NotEnoughGpus`."""
    pairs = [(group, index) for group in groups for index in range(group.replicas)]
    given = gpu.assign(found, [_demand(group, index, found) for group, index in pairs])
    on_cpu = sum(not gpus for gpus in given.values())
    return tuple(
        Plan(
            group=group,
            index=index,
            paths=paths,
            gpus=given[worker_id(group, index)],
            shares_cpu=on_cpu > 1,
            parent_env=environ,
            publishes=publishes,
        )
        for group, index in pairs
    )


def _demand(group: EngineGroup, index: int, found: tuple[Gpu, ...]) -> Demand:
    if group.engine == "simulated":
        count = 0
    elif group.gpus_per_replica is None:
        count = 1 if found else 0
    else:
        count = group.gpus_per_replica
    return Demand(worker_id(group, index), count, f"{where(group)}.gpus_per_replica")


def _first_record(each: Plan, now: float) -> WorkerRecord:
    return WorkerRecord(
        id=each.worker,
        group=each.group.name,
        models=models_of(each.group),
        engine="vllm",  # the simulated engine speaks vLLM's protocol, so its adapter is vLLM's
        address="",
        api_key="",
        max_in_flight=most_in_flight(each.group),
        status=WorkerStatus.WAITING,
        phase="checking",
        since=now,
    )


async def _supervise(publication: Publication, *, grace_s: float) -> int:
    workers = publication.workers

    def stop() -> None:
        for worker in workers:
            worker.ask_to_stop(grace_s)

    retrying = asyncio.create_task(publication.retry())
    try:
        with _signals(stop):
            async with asyncio.TaskGroup() as lives:
                for worker in workers:
                    lives.create_task(worker.run())
    finally:
        retrying.cancel()
        publication.publish()
    return 1 if all(worker.status is WorkerStatus.FAILED for worker in workers) else 0


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


__all__ = ["LaunchError", "run"]
