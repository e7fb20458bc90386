"""Nobody is called whom the operator did not name: from the start to the last request no process wants out."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support import isolation
from tests.support.product import Product, until
from tests.support.watched import Watched, audited, watched

TEST_NET = ("192.0.2.1", 80)
"""An address that is nobody's (RFC 5737)."""
CLIENTS = 8
QUICK = """\
  engine: simulated
  args: [--sim-ttft-ms, "1", --sim-itl-ms, "1", --sim-tokens, "4"]
"""

Figure = Callable[[str, str], None]


def ask(product: Product, count: int, max_tokens: int) -> None:
    """Have `count` chats answered, every other one streamed, several at a time."""

    def one(client: httpx.Client, number: int) -> None:
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": f"Count to {number}."}],
            "max_tokens": max_tokens,
            "stream": bool(number % 2),
        }
        answer = client.post("/chat/completions", json=body)
        assert answer.status_code == httpx.codes.OK, answer.text
        assert answer.content.endswith(b"data: [DONE]\n\n" if number % 2 else b"}")

    with product.client() as client, ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda number: one(client, number), range(count)))


def test_a_thousand_requests_and_nobody_else_was_called(
    tmp_path: Path, isolate: tuple[str, ...], figure: Figure
) -> None:
    with watched(tmp_path, isolate, QUICK) as running:
        ask(running.product, 1000, 4)
        assert running.seen == ""
        figure("outbound connections, 1000 requests, simulated engine", f"0 ({running.witnesses})")


@pytest.mark.real_engine
def test_the_real_engine_calls_nobody_either(supervised_engine: Watched, figure: Figure) -> None:
    ask(supervised_engine.product, 100, 8)
    assert supervised_engine.seen == ""
    figure("outbound connections, 100 requests, real engine", f"0 ({supervised_engine.witnesses})")


CALLERS = {
    "by address": f"import socket; socket.create_connection({TEST_NET})",
    "by datagram": f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', {TEST_NET})",
    "by name": "import socket; socket.getaddrinfo('name.invalid', 80)",
}


@pytest.mark.parametrize("how", CALLERS)
def test_both_witnesses_see_who_calls(how: str, tmp_path: Path, isolate: tuple[str, ...]) -> None:
    """The test of the tests: an attempt would have been seen."""
    log = tmp_path / "audit"
    program = f"""
try:
    {CALLERS[how]}
except OSError:
    pass
input()
"""
    with subprocess.Popen(
        [*isolate, sys.executable, "-c", program],
        env={**os.environ, **audited(log)},
        stdin=subprocess.PIPE,
    ) as process:
        try:
            seen: list[Callable[[], object]] = [lambda: log.exists() and "socket." in log.read_text()]
            seen += [lambda: isolation.attempts(process.pid)] if isolate else []
            for witness in seen:
                until(witness, seconds=30, what=lambda: f"{process.poll()} {isolation.attempts(process.pid)}")
        finally:
            process.kill()
