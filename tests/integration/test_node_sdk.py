"""The OpenAI SDK for Node against the whole product over the real engine: one script of node/ for each way to ask."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.engine_load import wait_until_idle, wait_until_running
from tests.support.product import Product

pytestmark = pytest.mark.real_engine

SCRIPTS = Path(__file__).parent / "node"
SCRIPT_SECONDS = 120


@contextmanager
def node(script: str, product: Product) -> Iterator[subprocess.Popen[str]]:
    """Run a script in this block; its SDK finds the product by the variables that its manual names."""
    assert (SCRIPTS / "node_modules/openai").is_dir(), (
        "run `npm ci` in tests/integration/node (`make test` does)"
    )
    environment = {**os.environ, "OPENAI_BASE_URL": product.url, "OPENAI_API_KEY": product.key}
    process = subprocess.Popen(
        ["node", str(SCRIPTS / script)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with process:
            yield process
    finally:
        process.kill()


@pytest.mark.parametrize("script", ["chat.mjs", "stream.mjs", "tools.mjs", "errors.mjs"])
def test_the_sdk_for_node_understands(script: str, product: Product) -> None:
    with node(script, product) as process:
        output, _ = process.communicate(timeout=SCRIPT_SECONDS)
    assert process.returncode == 0, output


def test_an_abort_in_node_frees_the_engine(product: Product, figure: Callable[[str, str], None]) -> None:
    with node("abort.mjs", product) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "streaming\n"
        wait_until_running(product, 8)  # as many as answers are asked for
        process.stdin.write("abort\n")
        process.stdin.flush()
        assert process.stdout.readline() == "aborted\n"
        figure("AbortController in Node → engine idle", f"{wait_until_idle(product):.2f} s")
        # The script waits meanwhile: it is the abort that freed the engine, and not the end of its process.
        assert process.poll() is None
        output, _ = process.communicate("end\n", timeout=SCRIPT_SECONDS)
    assert process.returncode == 0, output
