"""Each process of the real engine killed under running requests: nobody is told a lie, and the engine comes back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from gateway.proxy.exchange import STALE_SECONDS
from tests.support.engine_load import wait_until_running
from tests.support.product import READY_SECONDS, Product

pytestmark = pytest.mark.real_engine

STREAMS = 3
VICTIMS: dict[str, Callable[[psutil.Process, int], bool]] = {
    "API server": lambda process, leader: process.pid == leader,
    "engine core": lambda process, _: process.name().startswith("VLLM::EngineCor"),
    "worker": lambda process, _: process.name().startswith("VLLM::Worker"),
}
QUESTION = [{"role": "user", "content": "Count to 100."}]
CHOICES = 8
LONG = {"max_tokens": 3500, "n": CHOICES, "ignore_eos": True}
"""So many choices at once that the engine works on them for half a minute, also on a fast machine: none must be over
before its engine is killed."""
END_SECONDS = 60.0
SHARED_MEMORY = Path("/dev/shm")


@dataclass
class Reader:
    """Reads one long answer in a thread of its own, and keeps how it ended."""

    product: Product
    stream: bool
    start: threading.Barrier | None = None
    """Met before it asks: an engine that runs one request in quick steps may take no other for many seconds."""
    text: str = ""
    finishes: list[str] = field(default_factory=list)
    error: Exception | None = None
    ended_at: float = 0.0

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with self.product.sdk() as client:
                if self.start is not None:
                    self.start.wait(END_SECONDS)
                self._ask(client)
        except openai.OpenAIError as error:
            self.error = error
        self.ended_at = time.monotonic()

    def _ask(self, client: openai.OpenAI) -> None:
        fields = {"model": "tiny", "messages": QUESTION, "extra_body": LONG}
        if not self.stream:
            client.chat.completions.create(**fields)  # type: ignore[call-overload]
            return
        for chunk in client.chat.completions.create(stream=True, **fields):  # type: ignore[call-overload]
            self.text += chunk.choices[0].delta.content or ""
            self.finishes += filter(None, [chunk.choices[0].finish_reason])

    def join(self) -> None:
        self._thread.join(END_SECONDS)
        assert not self._thread.is_alive(), "it never ended"


@contextmanager
def raw_stream(product: Product, start: threading.Barrier) -> Iterator[httpx.Response]:
    """A stream as bytes, its first event read. It begins with the others that meet at `start`."""
    body = {"model": "tiny", "messages": QUESTION, "stream": True, **LONG}
    with product.client() as client:
        start.wait(END_SECONDS)
        with client.stream("POST", "/chat/completions", json=body) as response:
            yield response


def rest_of(response: httpx.Response) -> bytes:
    """All that comes of a body that is cut short. Raises `AssertionError` when it has a proper end."""
    body = b""
    try:
        for data in response.iter_raw():
            body += data
    except httpx.RemoteProtocolError as error:
        assert "incomplete chunked read" in str(error)  # noqa: PT017 - what was read until then is needed
        return body
    raise AssertionError(f"the stream ended well: {body[-300:]!r}")


def family(product: Product) -> list[psutil.Process]:
    """The worker's processes."""
    leader = product.worker().pid
    assert leader
    first = psutil.Process(leader)
    return [first, *first.children(recursive=True)]


def shared_memory_of(processes: list[psutil.Process]) -> set[Path]:
    """The files in shared memory that these processes hold open."""
    found = set()
    for process in processes:
        for link in Path(f"/proc/{process.pid}/fd").iterdir():
            target = link.readlink()
            if target.parent == SHARED_MEMORY and target.exists():
                found.add(target)
    return found


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_engine_process_is_told_and_replaced(
    victim: str, product: Product, figure: Callable[[str, str], None], say: Callable[[str], None]
) -> None:
    before = product.worker()
    former = family(product)
    segments = shared_memory_of(former)
    assert segments, "the engine was seen to hold shared memory: has that changed?"
    [target] = [process for process in former if VICTIMS[victim](process, former[0].pid)]
    start = threading.Barrier(STREAMS + 1)
    streams = [Reader(product, stream=True, start=start) for _ in range(STREAMS)]
    with raw_stream(product, start) as raw:
        wait_until_running(product, CHOICES * (STREAMS + 1))
        product.until(lambda: all(stream.text for stream in streams), seconds=END_SECONDS)
        # Last: an engine that runs a plain request in quick steps may take no other for many seconds.
        plain = Reader(product, stream=False)
        wait_until_running(product, CHOICES * (STREAMS + 2))
        time.sleep(STALE_SECONDS)  # sooner, a kept connection that breaks may have been closed before
        target.kill()
        killed_at = time.monotonic()
        body = rest_of(raw)

    *_, last = body.rstrip(b"\n").split(b"\n\n")
    assert b'"code":"stream_interrupted"' in last
    assert b"[DONE]" not in body
    for stream in streams:
        stream.join()
        assert isinstance(stream.error, openai.APIError)
        assert stream.error.code == "stream_interrupted"
        assert not stream.finishes
    plain.join()
    assert isinstance(plain.error, openai.InternalServerError)
    assert (plain.error.status_code, plain.error.code) == (502, "upstream_lost")
    assert plain.error.response.headers["x-should-retry"] == "false"
    slowest = max(reader.ended_at for reader in (*streams, plain)) - killed_at
    figure(f"{victim} killed → all streams told", f"{slowest:.2f} s")

    _expect_refusals_until_restarted(product, before.restarts)
    product.until(lambda: not any(process.is_running() for process in former), seconds=END_SECONDS)
    say(f"{victim} killed, waiting for the restart")
    product.until(product.is_ready, seconds=READY_SECONDS, every=0.2, say=say)
    figure(f"{victim} killed → ready again", f"{time.monotonic() - killed_at:.0f} s")
    with product.client() as client:
        assert client.post("/chat/completions", json={"model": "tiny", "messages": QUESTION}).is_success
    assert product.worker().pid != before.pid
    assert product.worker().api_key != before.api_key
    assert not [segment for segment in segments if segment.exists()], "shared memory was left behind"


def _expect_refusals_until_restarted(product: Product, restarts: int) -> None:
    """With no engine to ask, a request is refused at once, and may be sent again."""
    product.until(lambda: product.worker().restarts > restarts, seconds=END_SECONDS)
    with product.sdk() as client, pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="tiny", messages=QUESTION)  # type: ignore[arg-type]
    # The gateway follows the roster within a quarter of a second: before that it finds the socket closed.
    assert (caught.value.status_code, caught.value.code) in {
        (503, "model_unavailable"),
        (502, "upstream_unreachable"),
    }
    assert caught.value.response.headers["x-should-retry"] == "true"
