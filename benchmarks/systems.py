"""What is compared: a table of systems, each a command in front of the same engines, or no command at all."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import msgspec

from benchmarks import nginx
from benchmarks.client import Address
from benchmarks.placement import Placement
from benchmarks.processes import Child, unanswered
from benchmarks.requests import MODEL
from gateway.auth.keys import KeyFile

MOST_AT_ONCE = 10_000
"""Exchanges that an engine may hold: the engine's own queue is not what is measured."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a system is started with. `folder` is its own."""

    folder: Path
    port: int
    engines: tuple[Address, ...]
    key: str


@dataclass(frozen=True, slots=True)
class System:
    """One row of the table.

    `command` prepares `Site.folder` and says what to run; `None`: nothing, the client speaks to the engines.
    `missing` says in one line what is not installed; `None`: nothing.
    """

    name: str
    command: Callable[[Site], Sequence[str]] | None
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True, slots=True)
class Running:
    """A system that takes requests."""

    name: str
    addresses: tuple[Address, ...]
    key: str
    process: Child | None
    cold_start: float | None
    """Seconds from its start to the first answer."""


@dataclass(frozen=True, slots=True)
class Engines:
    """The simulated engines. All systems share them, and a cache of compiled Python."""

    folder: Path
    addresses: tuple[Address, ...]
    processes: tuple[Child, ...]

    def script(self, **changes: float) -> None:
        """Set the pace for the requests that come from now on."""
        for host, port in self.addresses:
            httpx.post(f"http://{host}:{port}/sim/script", json=changes).raise_for_status()


def _gateway(module: Sequence[str]) -> Callable[[Site], Sequence[str]]:
    """A gateway of this tree: keys on, metrics on, a log line for each call, as in production."""

    def command(site: Site) -> Sequence[str]:
        data = site.folder / "data"
        config = {
            "version": 1,
            "data_dir": str(data),
            "server": {"listen": f"127.0.0.1:{site.port}", "admin_listen": "127.0.0.1:0"},
            "upstreams": [
                {"url": f"http://{host}:{port}", "models": {MODEL: MODEL}, "max_in_flight": MOST_AT_ONCE}
                for host, port in site.engines
            ],
            "logging": {"level": "info", "format": "json"},
        }
        path = site.folder / "cascadia.yaml"  # JSON is YAML
        path.write_bytes(msgspec.json.encode(config))
        return [sys.executable, "-m", *module, "--config", str(path)]

    return command


def _nginx(site: Site) -> Sequence[str]:
    return nginx.command(site.folder, port=site.port, engines=site.engines, key=site.key)


BASELINE = "direct"
"""What latencies are added to."""
REFERENCE = "nginx"
"""What the others' figures are set against, as ratios."""
PRODUCT = "edge"
"""The gateway as it is run: what has targets."""

SYSTEMS: Mapping[str, System] = {
    system.name: system
    for system in (
        System("direct", None),
        System("nginx", _nginx, nginx.missing),
        System("edge", _gateway(["gateway", "gateway", "--quiet"])),
        System("asgi", _gateway(["benchmarks.plain_gateway"])),
    )
}
"""Name → what is compared."""


@contextmanager
def running_engines(count: int, placement: Placement) -> Iterator[Engines]:
    """Run `count` simulated engines in this block. Raises `StartError`."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cascadia-bench-")))
        addresses = tuple(("127.0.0.1", _free_port()) for _ in range(count))
        processes = []
        for index, (host, port) in enumerate(addresses):
            command = [sys.executable, "-m", "engines.simulated", "--model", MODEL]
            command += ["--host", host, "--port", str(port), "--sim-log-records", "100"]
            command += ["--max-num-seqs", str(MOST_AT_ONCE), "--max-model-len", "1000000"]
            child = Child(command, placement.engines, _bytecode(folder), folder / f"engine-{index}.log")
            stack.callback(child.stop)
            processes.append(child)
        with httpx.Client() as client:
            for child, (host, port) in zip(processes, addresses, strict=True):
                url = f"http://{host}:{port}/health"
                child.wait_until(lambda url=url: unanswered(lambda: client.get(url)))  # type: ignore[misc]
        yield Engines(folder, addresses, tuple(processes))


@contextmanager
def running(system: System, engines: Engines, placement: Placement) -> Iterator[Running]:
    """Run `system` in this block, its first answer given. Raises `StartError`."""
    if system.command is None:
        yield Running(system.name, engines.addresses, "none", None, None)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cascadia-bench-")))
        key = (
            KeyFile(folder / "data" / "keys.json", folder / "data" / "pepper", time.time).create("bench").text
        )
        site = Site(folder, _free_port(), engines.addresses, key)
        command = system.command(site)
        child = Child(command, placement.gateway, _bytecode(engines.folder), folder / "log")
        stack.callback(child.stop)
        client = stack.enter_context(httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=10))
        url = f"http://127.0.0.1:{site.port}/v1/chat/completions"
        ask = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
        cold_start = child.wait_until(lambda: unanswered(lambda: client.post(url, json=ask)))
        yield Running(system.name, (("127.0.0.1", site.port),), key, child, cold_start)


def compile_all(names: Sequence[str], engines: Engines, placement: Placement) -> None:
    """Start and stop each system once, so that no cold start is that of a first start. Raises `StartError`."""
    for name in names:
        with running(SYSTEMS[name], engines, placement):
            pass


def _bytecode(folder: Path) -> Mapping[str, str]:
    """Keep compiled Python in this run's own folder, whatever the environment says and whether or not it may."""
    return {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
