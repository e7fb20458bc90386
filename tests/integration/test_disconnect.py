"""A client that leaves takes its request out of the engine, whatever the request was doing."""

from __future__ import annotations

import json
import secrets
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine_load import POLL_SECONDS, running, wait_until_idle, wait_until_running
from tests.support.peer import request
from tests.support.product import FREE_PORT, Product, until, up

CHOICES = 8
LONG: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "Count to 100."}],
    "max_tokens": 3500,
    "n": CHOICES,
    "ignore_eos": True,
}
"""Seconds of work, also for a fast machine: it must not be over before its client leaves."""
SLOW_ENGINE = """\
engines:
- name: tiny
  engine: simulated
  max_in_flight: 1
  args: [--sim-ttft-ms, "20", --sim-itl-ms, "50"]
"""
WAIT_SECONDS = 30
BUSY_ATTEMPTS = 5
"""An engine that runs plain requests in steps of under a millisecond leaves its own HTTP clients without
an answer for seconds at a time, now and then until the request is done."""

Figure = Callable[[str, str], None]


@contextmanager
def asking(product: Product, request_id: str, **fields: Any) -> Iterator[socket.socket]:
    """A connection with a request sent on it; the test closes it, which is what these tests are about."""
    host, port = product.url.removeprefix("http://").removesuffix("/v1").split(":")
    headers = [("authorization", f"Bearer {product.key}"), ("x-request-id", request_id)]
    with socket.create_connection((host, int(port)), WAIT_SECONDS) as connection:
        connection.sendall(request({**LONG, **fields}, more_headers=headers))
        yield connection


def read_events(connection: socket.socket, count: int) -> None:
    read = b""
    while read.count(b"data: ") < count:
        data = connection.recv(65536)
        assert data, read
        read += data
    assert read.startswith(b"HTTP/1.1 200 ")


def seen_running(product: Product, connection: socket.socket) -> bool:
    """Whether the engine said that it runs all choices before the answer was there."""
    with product.engine() as engine:
        while running(engine) != CHOICES:
            if select.select([connection], [], [], POLL_SECONDS)[0]:
                return False
    return True


def call(product: Product, request_id: str) -> dict[str, Any]:
    """The line that the gateway writes about a call when it is over."""

    def find() -> dict[str, Any] | None:
        lines = [line.text for line in product.lines if f'"request_id":"{request_id}"' in line.text]
        return json.loads(lines[0]) if lines else None

    found: dict[str, Any] = product.until(find, seconds=WAIT_SECONDS)
    return found


@pytest.mark.real_engine
def test_a_client_that_leaves_before_the_first_token_frees_the_engine(
    product: Product, figure: Figure
) -> None:
    # A long prompt, never seen before, takes longer to read than the gateway needs to pass it on.
    prompt = [{"role": "user", "content": f"{secrets.token_hex(8)} {'word ' * 1900}"}]
    with asking(product, "left-early", stream=True, messages=prompt, max_tokens=100):
        product.until(
            lambda: product.metric('cascadia_replica_requests_in_flight{replica="tiny-0"}'), seconds=10
        )
    told = call(product, "left-early")
    figure("left before the first token → engine idle", f"{wait_until_idle(product):.2f} s")
    assert (told["outcome"], told["attempts"], told["ttft_ms"]) == ("client_gone", 1, None)


@pytest.mark.real_engine
def test_a_client_that_leaves_mid_stream_frees_the_engine(product: Product, figure: Figure) -> None:
    with asking(product, "left-mid-stream", stream=True) as connection:
        read_events(connection, 5)
        wait_until_running(product, CHOICES)
    figure("left mid-stream → engine idle", f"{wait_until_idle(product):.2f} s")
    assert call(product, "left-mid-stream")["outcome"] == "client_gone"


@pytest.mark.real_engine
def test_a_client_that_leaves_while_it_waits_for_a_plain_answer_frees_the_engine(
    product: Product, figure: Figure
) -> None:
    for attempt in range(BUSY_ATTEMPTS):
        with asking(product, f"left-plain-{attempt}") as connection:
            if seen_running(product, connection):
                break
    else:
        pytest.fail("the engine was never seen at work")
    figure("left before a plain answer → engine idle", f"{wait_until_idle(product):.2f} s")
    told = call(product, f"left-plain-{attempt}")
    assert (told["outcome"], told["status"]) == ("client_gone", 499)


@pytest.mark.real_engine
def test_many_clients_that_leave_at_once_free_the_engine(product: Product, figure: Figure) -> None:
    with product.sdk() as client:
        streams = [
            client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": "Count to 100."}],
                extra_body={"max_tokens": LONG["max_tokens"], "n": 2, "ignore_eos": True},
                stream=True,
            )
            for _ in range(8)
        ]
        wait_until_running(product, 2 * len(streams))
        for stream in streams:
            stream.close()
        figure("8 clients left → engine idle", f"{wait_until_idle(product):.2f} s")


def test_a_client_that_leaves_the_queue_never_reaches_the_engine(tmp_path: Path) -> None:
    config = tmp_path / "cascadia.yaml"
    config.write_text(SLOW_ENGINE)
    with up(tmp_path / "d", "--config", str(config), "--listen", FREE_PORT) as product:
        product.wait_until_ready()
        with asking(product, "first", stream=True) as first:
            read_events(first, 2)
            with asking(product, "queued", stream=True):
                waiting = 'cascadia_queue_waiting{model="tiny",tier="default"}'
                product.until(lambda: product.metric(waiting) == 1, seconds=WAIT_SECONDS)
            product.until(lambda: product.metric(waiting) == 0, seconds=WAIT_SECONDS)
            told = call(product, "queued")
            assert (told["outcome"], told["attempts"], told["replica"]) == ("client_gone", 0, None)
            with product.engine() as engine:
                assert running(engine) == CHOICES
        assert call(product, "first")["outcome"] == "client_gone"
        with product.engine() as engine:
            until(lambda: running(engine) == 0, seconds=WAIT_SECONDS, what=lambda: "the engine is not idle")
