"""An engine as a process: flags, start, signals, children, exit codes."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from engines.simulated.arguments import parse
from tests.support.gateway import until

COMMAND = [sys.executable, "-m", "engines.simulated", "--model", "m"]


class Process:
    """An engine process, its unix socket and what it has written."""

    def __init__(self, flags: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                [*COMMAND, "--uds", str(folder / "s"), *flags],
                stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment},
            )  # fmt: skip
        transport = httpx.AsyncHTTPTransport(verify=False, uds=str(folder / "s"))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://engine")

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.popen.pid).children()

    async def said(self, text: str) -> None:
        """Wait until it has written `text`."""
        async with asyncio.timeout(10):
            while text not in self.log:
                assert self.popen.poll() is None, self.log
                await asyncio.sleep(0.005)

    async def ended(self) -> int:
        """Wait for its end and give its exit code."""
        return await asyncio.to_thread(self.popen.wait, 10)

    async def end(self) -> None:
        await self.client.aclose()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


@pytest.fixture
async def start(tmp_path):
    async with contextlib.AsyncExitStack() as stack:

        def run(*flags: str, environment: dict[str, str] | None = None) -> Process:
            process = Process(flags, environment or {}, tmp_path)
            stack.push_async_callback(process.end)
            return process

        yield run


async def test_it_says_what_vllm_says_while_it_starts_and_listens_only_then(start, tmp_path):
    engine = start("--sim-start-seconds", "0.2")
    await engine.said("Initializing a V1 LLM engine")
    reader_of = asyncio.open_unix_connection(tmp_path / "s")
    with pytest.raises(ConnectionRefusedError):
        await reader_of
    await engine.said("Application startup complete.")
    assert "Starting to load model m" in engine.log
    assert (await engine.client.get("/health")).status_code == 200


async def test_asked_to_end_it_exits_with_0_and_takes_its_children_with_it(start):
    engine = start("--sim-children", "2")
    await engine.said("startup complete")
    children = engine.children
    names = [["VLLM::EngineCore"], ["VLLM::Worker_TP0"]]
    await until(
        lambda: [child.cmdline()[:1] for child in children] == names
    )  # none while it becomes a program
    assert {os.getpgid(child.pid) for child in children} == {engine.popen.pid}
    engine.popen.send_signal(signal.SIGTERM)
    assert await engine.ended() == 0
    assert not any(child.is_running() for child in children)


async def test_killed_it_leaves_its_children_behind_as_vllm_does(start):
    engine = start("--sim-children", "1")
    await engine.said("startup complete")
    [child] = engine.children
    engine.popen.kill()
    assert await engine.ended() == -signal.SIGKILL
    assert child.is_running()
    os.killpg(engine.popen.pid, signal.SIGKILL)


async def test_a_child_that_is_killed_ends_it_with_an_error_to_all_and_exit_0(start):
    engine = start("--sim-children", "1", "--sim-itl-ms", "5")
    await engine.said("startup complete")
    body = {"prompt": "x", "max_tokens": 1000, "ignore_eos": True, "stream": True}
    async with engine.client.stream("POST", "/v1/completions", json=body) as response:
        parts = response.aiter_text()
        await anext(parts)
        engine.children[0].kill()
        rest = "".join([part async for part in parts])
    assert rest.endswith("data: [DONE]\n\n")
    assert 'data: {"error": {"message": "EngineCore' in rest
    assert await engine.ended() == 0


async def test_a_death_has_the_code_it_was_told(start):
    engine = start("--sim-script", '{"faults": [{"kind": "die", "after_events": 1, "code": 9}]}')
    await engine.said("startup complete")
    with pytest.raises(httpx.RemoteProtocolError):
        await engine.client.post("/v1/completions", json={"prompt": "x", "stream": True})
    assert await engine.ended() == 9


async def test_the_key_comes_from_the_environment(start):
    engine = start(environment={"VLLM_API_KEY": "k"})
    await engine.said("startup complete")
    assert (await engine.client.get("/v1/models")).status_code == 401
    headers = {"authorization": "Bearer k"}
    assert (await engine.client.get("/v1/models", headers=headers)).status_code == 200


async def test_a_socket_that_is_there_already_ends_it_with_1(start, tmp_path):
    (tmp_path / "s").touch()
    engine = start()
    assert await engine.ended() == 1
    assert "OSError: [Errno 98] Address already in use" in engine.log


def test_flags_of_vllm_are_taken_and_read_or_ignored():
    told = parse(
        [
            "--model", "path", "--served-model-name", "a", "b", "--max_num_seqs", "8", "--max-model-len=4k",
            "--enforce-eager", "--gpu-memory-utilization", "0.9", "-tp", "2", "--enable-auto-tool-choice",
            "--tool-call-parser", "hermes", "--lora-modules", "x=y", "z=w", "--no-enable-prefix-caching",
            "--shutdown-timeout", "30", "--uds", "/s",
        ],
        {},
    )  # fmt: skip
    options = told.options
    assert options.names == ("a", "b")
    assert (options.max_num_seqs, options.max_model_len, options.shutdown_timeout) == (8, 4000, 30)
    assert options.has_parser
    assert told.uds == "/s"


def test_the_keep_alive_time_comes_from_vllms_variable():
    assert parse([], {"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75"}).options.keep_alive == 75


@pytest.mark.parametrize(
    "flags",
    [
        ["--unknown"],
        ["--max-num-seqs", "many"],
        ["--sim-script", "{"],
        ["--sim-script", '{"x": 1}'],
        ["--enf"],
    ],
)
def test_a_flag_that_vllm_does_not_know_ends_it_with_2(flags, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(flags, {})
    assert ended.value.code == 2


def test_a_script_may_come_from_a_file_and_single_flags_win(tmp_path):
    file = tmp_path / "script.json"
    file.write_text('{"tokens": 5, "itl_ms": 1}')
    script = parse(["--sim-script", str(file), "--sim-itl-ms", "2"], {}).script
    assert (script.tokens, script.itl_ms) == (5, 2)
