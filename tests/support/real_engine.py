"""An engine on a unix socket that tests ask directly: the simulated one, or the real vLLM with the bundled model.

The real one is started once for the whole test run, by the product itself: what the contract says is then said of the
engine as the supervisor starts it. Tests that use it carry `@pytest.mark.real_engine`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from engines.bundled import model_path
from engines.launch.spec import KEEP_ALIVE_S
from tests.support.product import REPOSITORY
from tests.support.watched import Watched, watched

START_SECONDS = 240
STOP_SECONDS = 20
NAMES = ("tiny", "tiny-alias")
MAX_MODEL_LEN = 1024
MAX_NUM_SEQS = 8
FLAGS = (
    "--enforce-eager",
    f"--max-model-len={MAX_MODEL_LEN}",
    f"--max-num-seqs={MAX_NUM_SEQS}",
    "--enable-auto-tool-choice",
    "--tool-call-parser=hermes",
    "--disable-uvicorn-access-log",
)
SUPERVISED = f"""\
  model: {model_path()}
  serve_as: [{", ".join(NAMES)}]
  args: [{", ".join(json.dumps(flag) for flag in (*FLAGS, "--no-enable-prompt-tokens-details"))}]
"""
"""The same for the supervisor, which adds the rest; the last undoes one of its own, which adds keys to usage.

The model is named as a folder: for the bundled one by its name the supervisor would add a reasoning parser.
"""


@dataclass(frozen=True, slots=True)
class RunningEngine:
    """An engine process that answers."""

    uds: Path
    api_key: str = field(repr=False)
    names: tuple[str, ...] = NAMES

    @property
    def model(self) -> str:
        return self.names[0]

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"}

    def client(self) -> httpx.Client:
        """Give a client with the key; the caller closes it."""
        transport = httpx.HTTPTransport(verify=False, uds=str(self.uds))
        return httpx.Client(transport=transport, base_url="http://engine", headers=self.headers, timeout=60)


@pytest.fixture(scope="session")
def supervised_engine(
    short_folder: Path, isolate: tuple[str, ...], say: Callable[[str], None]
) -> Iterator[Watched]:
    """The product with the real vLLM under it, watched. Starting it takes about a minute and 3 GB of memory."""
    say("starting the product with the real engine in a network of its own")
    with watched(
        short_folder, isolate, SUPERVISED, say=say, variables={"VLLM_CPU_KVCACHE_SPACE": "1"}
    ) as running:
        yield running


@pytest.fixture(scope="session")
def real_engine(supervised_engine: Watched) -> RunningEngine:
    """The real vLLM, started and kept by the supervisor, but asked directly."""
    worker = supervised_engine.product.worker()
    engine = RunningEngine(Path(worker.address.removeprefix("unix:")), worker.api_key)
    _warm_up(engine)
    return engine


@contextmanager
def run_engine(command: list[str], environment: dict[str, str]) -> Iterator[RunningEngine]:
    """Start `command` with the common flags, give it once it is healthy, and end its whole process group."""
    folder = Path(tempfile.mkdtemp(prefix="cascadia-"))  # short: a socket's path has at most 107 bytes
    key = secrets.token_hex(16)
    log = folder / "log"
    arguments = [*command, "--served-model-name", *NAMES, "--uds", str(folder / "s"), *FLAGS]
    with log.open("wb") as output:
        process = subprocess.Popen(
            arguments,
            env={**environment, "VLLM_API_KEY": key, "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_S)},
            cwd=REPOSITORY,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        engine = RunningEngine(folder / "s", key)
        _wait_until_healthy(engine, process, log)
        yield engine
    finally:
        _end(process)
        shutil.rmtree(folder)


def _wait_until_healthy(engine: RunningEngine, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_healthy(engine):
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text("utf-8", "replace").splitlines()[-40:]
            pytest.fail("the engine did not start\n" + "\n".join(tail))
        time.sleep(0.05)


def _is_healthy(engine: RunningEngine) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(engine.uds))
        except OSError:
            return False
    with engine.client() as client:
        return client.get("/health").status_code == httpx.codes.OK


def _warm_up(engine: RunningEngine) -> None:
    """Have what is compiled at first use compiled now, so that no test waits for it."""
    body = {"model": engine.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    fixed = {"type": "json_schema", "json_schema": {"name": "warm", "schema": schema}}
    with engine.client() as client:
        for more in ({"logprobs": True, "top_logprobs": 1}, {"response_format": fixed, "max_tokens": 20}):
            client.post(
                "/v1/chat/completions", json={**body, **more}, timeout=START_SECONDS
            ).raise_for_status()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the group: first as asked, then by force; what is left of it must not outlive the tests."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
