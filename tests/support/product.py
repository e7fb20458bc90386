"""`cascadia up` as a person runs it: its lines as they come, its first screen read, its processes counted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import psutil

from engines import roster
from engines.roster import WorkerRecord, WorkerStatus

REPOSITORY = Path(__file__).parents[2]
CASCADIA = (sys.executable, "-m", "gateway")
READY_SECONDS = 300.0
"""A start of the real engine takes a minute on a calm machine."""
STOP_SECONDS = 60.0
SCREEN_SECONDS = 30.0
REQUEST_SECONDS = 120.0
SILENCE_SECONDS = 10.0
"""The longest that whoever watches the tests waits for a word."""
FREE_PORT = "127.0.0.1:0"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of output, and when it came: seconds since the start."""

    at: float
    text: str


_T = TypeVar("_T")


def until(holds: Callable[[], _T], *, seconds: float, what: Callable[[], str], every: float = 0.02) -> _T:
    """Wait for `holds()` to be truthy and return it. Raises `AssertionError` with `what()` when it does not."""
    deadline = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s\n{what()}"
        time.sleep(every)
    return value


class Product:
    """One running `cascadia up`. Whoever starts it ends it with `end()`; then nothing of it is left."""

    def __init__(self, process: subprocess.Popen[str], data: Path) -> None:
        self.process = process
        self.data = data
        self.lines: list[Line] = []
        self._began = time.monotonic()
        self._seen: set[psutil.Process] = set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(Line(time.monotonic() - self._began, line.rstrip("\n")))

    # What it says.

    @property
    def text(self) -> str:
        """All it has said so far."""
        return "\n".join(line.text for line in tuple(self.lines))

    def said(self, pattern: str) -> re.Match[str] | None:
        """The first match of `pattern` in what it has said."""
        return re.search(pattern, self.text, re.MULTILINE)

    def until(
        self,
        holds: Callable[[], Any],
        *,
        seconds: float,
        every: float = 0.02,
        say: Callable[[str], None] = lambda _: None,
    ) -> Any:
        """Wait for `holds()`; a product that ended meanwhile fails the test at once, with what it said.

        `say` hears its last line now and then.
        """
        told = time.monotonic()

        def look() -> Any:
            nonlocal told
            value = holds()
            assert value or self.is_running, f"it ended with {self.process.poll()}\n{self.text}"
            if time.monotonic() - told >= SILENCE_SECONDS:
                told = time.monotonic()
                say(self.lines[-1].text if self.lines else "no line yet")
            return value

        return until(look, seconds=seconds, what=lambda: self.text, every=every)

    def wait_for_screen(self) -> None:
        """Wait until a person can read where to ask, and paste the line that asks."""
        self.until(lambda: self.said(r"^curl .+$"), seconds=SCREEN_SECONDS)

    def wait_until_ready(self, say: Callable[[str], None] = lambda _: None) -> float:
        """Wait for the line that says so; give the seconds from the start. `say` hears how far it is."""
        pattern = r"  ready after \d+ s$"
        self.until(lambda: self.said(pattern), seconds=READY_SECONDS, say=say)
        return next(line.at for line in self.lines if re.search(pattern, line.text))

    @property
    def url(self) -> str:
        """The base URL on its screen, with the `/v1`; of a unix socket `unix:/path`."""
        return self._on_screen(r"^  URL +(\S+)$")

    @property
    def key(self) -> str:
        """The API key on its screen."""
        return self._on_screen(r"^  API key +(\S+)   \(shown once")

    @property
    def metrics_url(self) -> str:
        """Where its metrics are."""
        return self._on_screen(r"^  metrics +(\S+)$")

    @property
    def curl_line(self) -> str:
        """The line to paste."""
        return self._on_screen(r"^(curl .*)$")

    def _on_screen(self, pattern: str) -> str:
        found = self.said(pattern)
        assert found, f"{pattern} is not there\n{self.text}"
        return found[1]

    # What asks it.

    def client(self, key: str | None = None) -> httpx.Client:
        """A client with the key, paths relative to `/v1`. The caller closes it."""
        socket = self.url.removeprefix("unix:") if self.url.startswith("unix:") else None
        return httpx.Client(
            base_url="http://localhost/v1" if socket else self.url,
            transport=httpx.HTTPTransport(uds=socket),
            headers={"authorization": f"Bearer {key or self.key}"},
            timeout=REQUEST_SECONDS,
            trust_env=False,
        )

    def sdk(self) -> openai.OpenAI:
        """OpenAI's client as its manual makes it, without repeats. The caller closes it."""
        return openai.OpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=REQUEST_SECONDS)

    def async_sdk(self) -> openai.AsyncOpenAI:
        """The same for coroutines."""
        return openai.AsyncOpenAI(base_url=self.url, api_key=self.key, max_retries=0, timeout=REQUEST_SECONDS)

    def metric(self, series: str) -> float:
        """A series of the gateway's own metrics, with its labels as they stand there; 0 when it is not there."""
        page = httpx.get(self.metrics_url, timeout=10, trust_env=False).text
        return next(
            (float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith(series)), 0
        )

    # What is under it.

    def worker(self) -> WorkerRecord:
        """Its first worker, as published."""
        published = roster.read(self.data / "run" / roster.FILE_NAME)
        assert published is not None
        return published.workers[0]

    def is_ready(self) -> bool:
        """Whether its worker can answer now, and its gateway knows."""
        if not self.is_running or self.worker().status is not WorkerStatus.READY:
            return False
        with self.client() as client:
            return client.get(str(client.base_url.join("/readyz"))).is_success

    def engine(self) -> httpx.Client:
        """A client of the worker itself, with the worker's key. The caller closes it."""
        worker = self.worker()
        return httpx.Client(
            base_url="http://engine/v1",
            transport=httpx.HTTPTransport(uds=worker.address.removeprefix("unix:")),
            headers={"authorization": f"Bearer {worker.api_key}"},
            timeout=REQUEST_SECONDS,
        )

    @property
    def is_running(self) -> bool:
        """Whether its first process lives."""
        return self.process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """All its processes now, the first one included; they are remembered for `left()`."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.process.pid)
            self._seen.update([first, *first.children(recursive=True)])
        return [process for process in self._seen if _is_alive(process)]

    def left(self) -> list[psutil.Process]:
        """What lives of the processes seen, and of the sessions that they led."""
        sessions = {process.pid for process in self._seen}
        found = {process for process in psutil.process_iter() if _session(process) in sessions}
        return [process for process in self._seen | found if _is_alive(process)]

    # Its end.

    def interrupt(self) -> None:
        """Ctrl-C: the terminal's signal reaches the first process, its children are in sessions of their own."""
        self.processes()
        self.process.send_signal(signal.SIGINT)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; gives the exit code once all its output is read."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        return code

    def end(self) -> None:
        """End it as a person in a hurry does, then by force. Raises `AssertionError` when something was left."""
        try:
            for _ in range(2):
                if self.is_running:
                    self.interrupt()
                    time.sleep(0.2)  # two signals at once count as one
            self.wait()
        finally:
            left = self.left()
            for process in left:
                process.kill()
            self.process.kill()
            self.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
        assert not left, f"left: {left}\n{self.text}"


def _is_alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _session(process: psutil.Process) -> int:
    with suppress(ProcessLookupError):
        return os.getsid(process.pid)
    return -1


def start(
    data: Path, *arguments: str, environment: Mapping[str, str] | None = None, before: tuple[str, ...] = ()
) -> Product:
    """Start `cascadia up ARGUMENTS` on the data folder `data`, by `before` if given. The caller ends it."""
    environ = {
        **os.environ,
        "CASCADIA_ENGINE_ENVIRONMENT": str(engine_environment()),
        "CASCADIA_SERVER__ADMIN_LISTEN": FREE_PORT,
        **(environment or {}),
    }
    process = subprocess.Popen(
        [*before, *CASCADIA, "up", "--data-dir", str(data), *arguments],
        cwd=REPOSITORY,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return Product(process, data)


@contextmanager
def up(data: Path, *arguments: str, **how: Any) -> Iterator[Product]:
    """Run `cascadia up` in this block, from its first screen on."""
    product = start(data, *arguments, **how)
    try:
        product.wait_for_screen()
        yield product
    finally:
        product.end()


def engine_environment() -> Path:
    """The engine's Python environment: the one of the Makefile unless the environment names another."""
    configured = os.environ.get("CASCADIA_ENGINE_ENVIRONMENT")
    return Path(configured) if configured else REPOSITORY / ".venv-engine"
