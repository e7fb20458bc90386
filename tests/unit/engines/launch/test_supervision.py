"""What the supervisor does beside running workers: who gets which GPU, the published roster, the lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from config.paths import Paths
from config.schema import EngineGroup
from engines import roster
from engines.launch.errors import AlreadySupervised, NotEnoughGpus
from engines.launch.gpus import Gpu
from engines.launch.plan import Plan
from engines.launch.supervisor import Publication, only_supervisor, plan
from engines.roster import WorkerRecord, WorkerStatus


def group(name: str, **changes: Any) -> EngineGroup:
    return EngineGroup.model_validate({"name": name} | changes)


def plans(*groups: EngineGroup, gpus: int = 0) -> dict[str, Plan]:
    found = tuple(Gpu(index) for index in range(gpus))
    return {each.worker: each for each in plan(groups, Paths(Path("/d")), {}, found)}


def test_by_default_a_worker_has_one_gpu_where_there_is_one():
    assert plans(group("a"), gpus=2)["a-0"].gpus == (Gpu(0),)
    assert plans(group("a"))["a-0"].gpus == ()


def test_gpus_are_given_out_over_all_groups():
    made = plans(
        group("a", replicas=2), group("b", gpus_per_replica=2), group("c", gpus_per_replica=0), gpus=4
    )
    assert {worker: [gpu.index for gpu in each.gpus] for worker, each in made.items()} == {
        "a-0": [0],
        "a-1": [1],
        "b-0": [2, 3],
        "c-0": [],
    }


def test_too_many_workers_for_the_gpus_are_refused_before_any_starts():
    with pytest.raises(NotEnoughGpus, match="a-2 needs 1 GPUs and 0 are left"):
        plans(group("a", replicas=3), gpus=2)


def test_a_simulated_engine_takes_no_gpu():
    assert plans(group("s", engine="simulated"), gpus=1)["s-0"].gpus == ()


@pytest.mark.parametrize(("replicas", "shares"), [(1, False), (2, True)])
def test_cpu_workers_know_whether_they_share_the_cpu(replicas: int, shares: bool):
    assert plans(group("a", replicas=replicas))["a-0"].shares_cpu is shares


@dataclass
class Recorded:
    record: WorkerRecord


def recorded(**changes: Any) -> Any:
    return Recorded(
        WorkerRecord(
            id="a-0",
            group="a",
            models={"a": "a"},
            engine="vllm",
            address="unix:/s",
            api_key="k",
            max_in_flight=1,
            status=WorkerStatus.READY,
            phase="ready",
            since=1.0,
            **changes,
        )
    )


def test_the_roster_names_this_process_and_its_sequence_rises(tmp_path: Path):
    publication = Publication(tmp_path / roster.FILE_NAME, pytest.fail)
    publication.workers = [recorded()]
    for sequence in (1, 2):
        publication.publish()
        published = roster.read(tmp_path / roster.FILE_NAME)
        assert published is not None
        assert published.sequence == sequence
    assert (published.pid, published.start_time) == (os.getpid(), psutil.Process().create_time())
    assert published.workers == (publication.workers[0].record,)


def test_a_roster_that_cannot_be_written_is_told_once_and_written_later(
    tmp_path: Path, run: Callable[[Any], Any]
):
    folder = tmp_path / "run"
    told: list[str] = []
    publication = Publication(folder / roster.FILE_NAME, told.append)

    async def main() -> None:
        import asyncio

        publication.publish()
        publication.publish()
        retrying = asyncio.create_task(publication.retry())
        await asyncio.sleep(5)
        folder.mkdir()
        await asyncio.sleep(5)
        retrying.cancel()

    run(main())
    assert len(told) == 1
    assert "cannot be written" in told[0]
    assert roster.read(folder / roster.FILE_NAME) is not None


def test_the_holder_of_the_lock_is_named(tmp_path: Path):
    paths = Paths(tmp_path)
    paths.run.mkdir()
    with only_supervisor(paths):
        Publication(paths.roster, pytest.fail).publish()
        with pytest.raises(AlreadySupervised) as refusal, only_supervisor(paths):
            pytest.fail("two supervisors")
        assert f"process {os.getpid()} holds" in refusal.value.why
    with only_supervisor(paths):
        pass


@pytest.mark.parametrize("content", [b"", b"{"])
def test_a_holder_that_has_not_published_yet_is_not_guessed(tmp_path: Path, content: bytes):
    paths = Paths(tmp_path)
    paths.run.mkdir()
    if content:
        paths.roster.write_bytes(content)
    with only_supervisor(paths), pytest.raises(AlreadySupervised, match="already supervised") as refusal:  # noqa: SIM117
        with only_supervisor(paths):
            pytest.fail("two supervisors")
    assert "just starting" in refusal.value.why
