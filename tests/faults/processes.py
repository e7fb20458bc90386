"""Real processes to attack: simulated engines that can be killed and come back, and one gateway in front of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.gateway import MODEL
from tests.support.product import REPOSITORY, until

START_SECONDS = 60.0
STOP_SECONDS = 30.0
CONTROL_SECONDS = 30.0
FIXED_PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to clients: a port that an engine leaves is still free when it comes back."""


class Process:
    """One process in a session of its own. Whoever starts it calls `end`."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        descriptors: int | None = None,
    ) -> None:
        """Describe it: `before` goes in front of its command, `descriptors` limits its open files."""
        limit = () if descriptors is None else ("prlimit", f"--nofile={descriptors}:{descriptors}")
        self.command = [*before, *limit, *command]
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def cpu_seconds(self) -> float:
        """User and system time so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def descriptors(self) -> int:
        """Open files now."""
        return int(psutil.Process(self.pid).num_fds())

    @property
    def peak_bytes(self) -> int:
        """The most memory that was ever resident."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel is done with it."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; gives the exit code."""
        assert self._process is not None
        return self._process.wait(seconds)

    def end(self) -> None:
        """Make sure that it runs no more."""
        if self.is_running:
            self.kill()

    def said(self) -> str:
        """The end of its output."""
        return self.log.read_bytes()[-4000:].decode(errors="replace")

    def fail(self) -> str:
        """What to say of it when it is waited for in vain."""
        return f"running: {self.is_running}\n{self.said()}"


class EngineProcess(Process):
    """A simulated engine. It keeps its address when it is started again."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *arguments: str,
        is_tcp: bool = True,
        host: str = "127.0.0.1",
        **how: Any,
    ) -> None:
        self.name = name
        self.models = {MODEL: "simulated"}
        self._socket = folder / f"{name}.sock"
        self._port = free_port() if is_tcp else None
        self._host = host
        where = ["--host", host, "--port", str(self._port)] if is_tcp else ["--uds", str(self._socket)]
        command = [sys.executable, "-m", "engines.simulated", "--model", "simulated", *where, *arguments]
        super().__init__(command, folder / f"{name}.log", **how)

    @property
    def url(self) -> str:
        """As a gateway takes it."""
        return f"unix:{self._socket}" if self._port is None else f"http://{self._host}:{self._port}"

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        super().start()

    @property
    def is_listening(self) -> bool:
        """Whether a connection to it can be made."""
        family = socket.AF_UNIX if self._port is None else socket.AF_INET
        with socket.socket(family) as probe:
            probe.settimeout(5)
            return (
                probe.connect_ex(str(self._socket) if self._port is None else (self._host, self._port)) == 0
            )

    def wait_until_up(self) -> None:
        """Wait until it answers."""
        until(lambda: self.is_running and self.is_listening, seconds=START_SECONDS, what=self.fail)

    def client(self) -> httpx.Client:
        """A client of the engine itself. The caller closes it."""
        transport = httpx.HTTPTransport(uds=None if self._port is not None else str(self._socket))
        base = "http://engine" if self._port is None else self.url
        return httpx.Client(base_url=base, transport=transport, timeout=CONTROL_SECONDS, trust_env=False)

    def journal(self) -> list[dict[str, Any]]:
        """What it was sent since its start, inference alone, and how that ended."""
        with self.client() as client:
            told = client.get("/sim/log").json()
        assert not told["dropped"]
        return [record for record in told["records"] if record["method"] == "POST"]

    def script(self, **changes: Any) -> None:
        """Change its pace or its faults."""
        with self.client() as client:
            client.post("/sim/script", json=changes).raise_for_status()


class GatewayProcess(Process):
    """`cascadia gateway` in front of `upstreams` (URL → models), for everybody, on a free port of 127.0.0.1."""

    def __init__(
        self,
        folder: Path,
        upstreams: Mapping[str, Mapping[str, str]],
        *,
        sections: Mapping[str, Any] | None = None,
        max_in_flight: int = 1024,
        data: Path | None = None,
        **how: Any,
    ) -> None:
        """Describe it: `sections` are laid over its configuration, one level deep. `data` is its data folder."""
        self.data = data or folder / "data"
        self._run = self.data / "run"
        self.address = ("", 0)
        self.admin_address: tuple[str, int] | None = None
        config: dict[str, Any] = {
            "data_dir": str(self.data),
            "server": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"},
            "auth": {"mode": "anonymous"},
            "logging": {"format": "json"},
            "upstreams": [
                {
                    "name": f"engine-{number}",
                    "url": url,
                    "models": dict(models),
                    "max_in_flight": max_in_flight,
                }
                for number, (url, models) in enumerate(upstreams.items())
            ],
        }
        for name, section in (sections or {}).items():
            config[name] = {**config.get(name, {}), **section}
        path = folder / "cascadia.yaml"
        path.write_text(json.dumps(config))  # JSON is YAML
        command = [sys.executable, "-m", "gateway", "gateway", "--quiet", "--config", str(path)]
        super().__init__(command, folder / "gateway.log", **how)

    def start(self) -> None:
        self.admin_address = None
        super().start()

    def wait_until_ready(self, replicas: int = 1) -> None:
        """Wait until so many engines can be asked."""

        def is_ready() -> bool:
            assert self.is_running, self.said()
            try:
                found = self.replicas()
            except (OSError, ValueError, httpx.TransportError):
                return False
            return sum(each["condition"] == "ready" for each in found) >= replicas

        until(is_ready, seconds=START_SECONDS, what=self.fail)
        self.address = self._where("url")
        self.admin_address = self._where("admin_url")

    def _where(self, which: str) -> tuple[str, int]:
        url = json.loads((self._run / "gateway.json").read_bytes())[which]
        host, _, port = url.removeprefix("http://").rpartition(":")
        return host, int(port)

    def admin(self, path: str) -> httpx.Response:
        """What its admin address says."""
        host, port = self.admin_address or self._where("admin_url")
        return httpx.get(f"http://{host}:{port}{path}", timeout=CONTROL_SECONDS, trust_env=False)

    def replicas(self) -> list[dict[str, Any]]:
        """Its engines as it sees them."""
        found: list[dict[str, Any]] = self.admin("/readyz").json()["replicas"]
        return found

    def metric(self, series: str) -> float:
        """A series of its metrics, with its labels as they stand there; 0 when it is not there."""
        lines = self.admin("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(series)), 0.0)

    def held(self) -> tuple[float, int]:
        """Calls that are not over, and those that engines are held to run."""
        return self.metric("cascadia_requests_in_flight"), sum(each["in_flight"] for each in self.replicas())

    def wait_until_nothing_is_held(self) -> None:
        """Wait until every call is over, and insist that nothing is left of one."""
        until(lambda: self.held() == (0.0, 0), seconds=START_SECONDS, what=lambda: f"held: {self.held()}")

    def calls(self) -> list[dict[str, Any]]:
        """Its log's lines about calls."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [line for line in lines if line.get("event") == "call"]


def free_port() -> int:
    """A port of 127.0.0.1 that the kernel gives to nobody by itself."""
    start = time.monotonic_ns() % len(FIXED_PORTS)
    for number in range(len(FIXED_PORTS)):
        port = FIXED_PORTS[(start + number) % len(FIXED_PORTS)]
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def running(processes: Sequence[Process]) -> Iterator[None]:
    """Run `processes` in this block."""
    try:
        for process in processes:
            process.start()
        yield
    finally:
        for process in processes:
            process.end()


@contextlib.contextmanager
def in_front_of(engines: Sequence[EngineProcess], folder: Path, **how: Any) -> Iterator[GatewayProcess]:
    """Run `engines` and a gateway in front of them in this block, once all can be asked."""
    gateway = GatewayProcess(folder, {engine.url: engine.models for engine in engines}, **how)
    with running([*engines, gateway]):
        for engine in engines:
            engine.wait_until_up()
        gateway.wait_until_ready(len(engines))
        yield gateway
