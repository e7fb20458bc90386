"""The supervisor as a process of its own, with real worker processes under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from engines import roster
from engines.roster import WorkerRecord, WorkerStatus

STANDIN = Path(__file__).parent / "supervisor_standin"
DEADLINE_S = 30.0

# What `cascadia engines` does, with a configuration given as JSON.
_PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from config.paths import Paths
from config.schema import Config
from engines.launch import supervisor
from engines.launch.errors import LaunchError
config = Config.model_validate_json(sys.argv[2])
try:
    sys.exit(asyncio.run(supervisor.run(
        config, Paths(Path(sys.argv[1])), announce=lambda line: print(line, flush=True), detect=lambda: ()
    )))
except LaunchError as error:
    print(error, flush=True)
    sys.exit(78)
"""


def until(holds: Callable[[], Any]) -> Any:
    """Wait for `holds()` to be truthy and return it."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if value := holds():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE_S:.0f} s")


@dataclass
class Supervised:
    """One supervisor process on one data folder."""

    data: Path
    process: subprocess.Popen[str]
    pids: set[int] = field(default_factory=set)

    def worker(self, name: str = "tiny-0") -> WorkerRecord | None:
        published = roster.read(self.data / "run" / roster.FILE_NAME)
        if published is None or published.pid != self.process.pid:
            return None
        record = next(record for record in published.workers if record.id == name)
        if record.pid:
            self.pids.add(record.pid)
        return record

    def until(self, holds: Callable[[WorkerRecord], Any], name: str = "tiny-0") -> WorkerRecord:
        def look() -> WorkerRecord | None:
            record = self.worker(name)
            return record if record is not None and holds(record) else None

        return until(look)

    def ready(self, name: str = "tiny-0") -> WorkerRecord:
        return self.until(lambda record: record.status is WorkerStatus.READY, name)

    def end(self, *, at_once: bool = False) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        if at_once:
            self.until(lambda record: record.status is not WorkerStatus.READY)
            self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, output


def members(session: int) -> list[int]:
    """Live processes of a session, told by psutil: another way than the supervisor's own."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


Start = Callable[..., Supervised]


@pytest.fixture
def start(tmp_path: Path, model: Path) -> Iterator[Start]:
    """Starts a supervisor of one group of stand-ins; whatever it leaves is an error of the test and is ended."""
    started: list[Supervised] = []

    def begin(*, env: dict[str, str] | None = None, **group: Any) -> Supervised:
        data = tmp_path / "d"
        chosen = {
            "name": "tiny",
            "model": str(model),
            "python": sys.executable,
            "gpus_per_replica": 0,
            "env": {"PYTHONPATH": str(STANDIN), **(env or {})},
        }
        config = {"engines": [chosen | group], "server": {"drain_seconds": 20}}
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(data), json.dumps(config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(Supervised(data, process))
        return started[-1]

    yield begin
    left: list[int] = []
    for supervised in started:
        if supervised.process.poll() is None:
            supervised.process.kill()
        supervised.process.communicate()
        for session in supervised.pids:
            for pid in members(session):
                left.append(pid)
                os.kill(pid, signal.SIGKILL)
    assert not left, f"processes were left: {left}"


@pytest.mark.parametrize("transport", ["unix", "tcp"])
def test_a_worker_that_answered_a_token_is_published_as_ready(start: Start, transport: str) -> None:
    supervised = start(transport=transport, serve_as=["tiny", "small"])
    record = supervised.ready()
    assert record.models == {"tiny": "tiny", "small": "tiny"}
    assert record.address.startswith("unix:/" if transport == "unix" else "http://127.0.0.1:")
    assert "INFO:     Application startup complete." in record.log_tail
    code, output = supervised.end()
    assert code == 0
    assert "tiny-0  ready" in output
    assert supervised.worker().status is WorkerStatus.STOPPED  # type: ignore[union-attr]


def test_the_simulated_engine_becomes_ready_and_is_restarted(start: Start) -> None:
    supervised = start(engine="simulated", env={})
    first = supervised.ready()
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    second = supervised.until(lambda record: record.status is WorkerStatus.READY and record.pid != first.pid)
    assert second.address == first.address
    code, _ = supervised.end()
    assert code == 0


def test_every_replica_has_a_socket_a_key_and_a_log_of_its_own(start: Start) -> None:
    supervised = start(replicas=2)
    records = [supervised.ready(name) for name in ("tiny-0", "tiny-1")]
    for of in (lambda record: record.address, lambda record: record.api_key, lambda record: record.pid):
        assert of(records[0]) != of(records[1])
    assert {path.name for path in (supervised.data / "logs").iterdir()} == {"tiny-0.log", "tiny-1.log"}
    supervised.end()


def test_the_socket_folder_is_private_and_nothing_is_left_in_it(start: Start) -> None:
    supervised = start()
    supervised.ready()
    folder = supervised.data / "run" / "engines"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} == {"tiny-0.sock", "tiny-0.json"}
    supervised.end()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("env", [{}, {"STANDIN_CORE_DEAF": "1"}, {"STANDIN_OWN_GROUP": "1"}])
def test_a_killed_server_takes_its_children_with_it_and_is_restarted(
    start: Start, env: dict[str, str]
) -> None:
    supervised = start(env=env)
    first = supervised.ready()
    assert first.pid is not None
    until(lambda: len(members(first.pid)) == 2)
    os.kill(first.pid, signal.SIGKILL)
    second = supervised.until(lambda record: record.status is WorkerStatus.READY and record.pid != first.pid)
    assert members(first.pid) == []
    assert second.restarts == 1
    assert second.api_key != first.api_key
    assert second.last_error == "it was ended by SIGKILL"
    supervised.end(at_once=True)


def test_an_exit_with_code_0_is_a_crash(start: Start) -> None:
    supervised = start()
    first = supervised.ready()
    assert first.pid is not None
    os.kill(first.pid, signal.SIGTERM)  # by a stranger: the stand-in exits with 0, as vLLM does
    record = supervised.until(lambda record: record.restarts == 1)
    assert record.last_error == "it exited with code 0"
    supervised.ready()
    supervised.end()


def test_no_process_is_left_after_a_stop_while_starting(start: Start) -> None:
    supervised = start(env={"STANDIN_SILENT": "1"})
    record = supervised.until(lambda record: record.phase == "starting the engine's worker")
    assert record.pid is not None
    code, output = supervised.end()
    assert code == 0
    assert members(record.pid) == []
    assert "tiny-0  stopped" in output


def test_the_end_of_the_supervisor_ends_the_worker(start: Start) -> None:
    supervised = start()
    record = supervised.ready()
    supervised.process.kill()
    assert record.pid is not None
    until(lambda: members(record.pid) == [])


def test_what_a_killed_supervisor_left_is_ended_by_the_next(start: Start) -> None:
    first = start(env={"STANDIN_CORE_DEAF": "1"})
    orphaned = first.ready()
    assert orphaned.pid is not None
    until(lambda: "EngineCore" in (first.data / "logs" / "tiny-0.log").read_text())
    first.process.kill()
    until(lambda: len(members(orphaned.pid)) == 1)  # the server heard of it, its deaf core did not
    second = start()
    second.ready()
    assert members(orphaned.pid) == []
    _, output = second.end(at_once=True)
    assert "tiny-0  ended 1 processes that a former supervisor left behind" in output


def test_draining_waits_for_the_requests_that_the_engine_holds(start: Start, tmp_path: Path) -> None:
    busy = tmp_path / "busy"
    busy.touch()
    supervised = start(env={"STANDIN_BUSY": str(busy)})
    record = supervised.ready()
    assert record.pid is not None
    supervised.process.send_signal(signal.SIGTERM)
    supervised.until(lambda record: record.status is WorkerStatus.DRAINING)
    assert psutil.pid_exists(record.pid)
    busy.unlink()
    output, _ = supervised.process.communicate(timeout=DEADLINE_S)
    assert supervised.process.returncode == 0
    assert output.index("tiny-0  draining") < output.index("tiny-0  stopped")


def test_a_second_signal_kills_what_does_not_end(start: Start) -> None:
    supervised = start(env={"STANDIN_CORE_DEAF": "1"})
    record = supervised.ready()
    assert record.pid is not None
    code, _ = supervised.end(at_once=True)
    assert code == 0
    assert members(record.pid) == []


def test_sighup_is_ignored(start: Start) -> None:
    supervised = start()
    supervised.ready()
    supervised.process.send_signal(signal.SIGHUP)
    code, _ = supervised.end()
    assert code == 0


def test_a_second_supervisor_is_refused_and_names_the_first(start: Start) -> None:
    first = start()
    first.ready()
    second = start()
    output, _ = second.process.communicate(timeout=DEADLINE_S)
    assert second.process.returncode == 78
    assert f"process {first.process.pid} holds" in output
    assert first.process.poll() is None
    first.end()


def test_a_start_that_cannot_succeed_is_not_tried(start: Start) -> None:
    supervised = start(args=["--max-model-lenn", "128"])
    output, _ = supervised.process.communicate(timeout=DEADLINE_S)
    assert supervised.process.returncode == 1
    assert "did you mean --max-model-len?" in output
    record = supervised.worker()
    assert record is not None
    assert record.status is WorkerStatus.FAILED
    assert record.pid is None
