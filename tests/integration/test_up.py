"""`cascadia up` as a person sees it: the first screen, the wait, Ctrl-C, and the next day."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.product import FREE_PORT, Product, start, up
from tests.support.simulated import SIMULATED_CONFIG, simulated

LONGEST_SILENCE_SECONDS = 4.0
"""Promised are 2 s; a machine with more to do than cores may be late."""
FIRST_ANSWER_SECONDS = 15.0
"""Wanted is 1 s; the bound only tells a start from a hang."""

Figure = Callable[[str, str], None]


def answer_of(command: str) -> dict[str, object]:
    """What a command prints in a shell, as a person pastes it."""
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, object] = json.loads(ran.stdout)
    return found


@pytest.mark.real_engine
def test_the_first_screen_has_all_that_the_first_question_needs(product: Product, figure: Figure) -> None:
    figure("start → ready", f"{product.wait_until_ready():.0f} s")
    answer = answer_of(product.curl_line)
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "tiny"
    assert product.key in product.curl_line
    assert (
        product.text.count(product.key) == 2
    )  # in words and in the line to paste; nowhere else, no log has it


@pytest.mark.real_engine
def test_the_wait_for_the_engine_is_never_silent(product: Product, figure: Figure) -> None:
    ready = product.wait_until_ready()
    times = [0.0, *(line.at for line in product.lines if line.at <= ready)]
    silence = max(after - before for before, after in pairwise(times))
    figure("longest silence while starting", f"{silence:.1f} s")
    assert silence <= LONGEST_SILENCE_SECONDS
    stages = set(re.findall(r"^tiny-0  starting  \d+ s  ([^(\n]+?)(?: \(.*)?$", product.text, re.MULTILINE))
    assert len(stages) >= 3, stages


LONG_ANSWER_TOKENS = 2000
"""Seconds of work for the engine, on a fast machine too: the answer is still under way when Ctrl-C comes."""


@pytest.mark.real_engine
def test_ctrl_c_lets_a_running_answer_finish_and_leaves_nobody(product: Product, figure: Figure) -> None:
    finishes: list[str] = []
    tokens: list[int] = []
    began = threading.Event()

    def read_stream() -> None:
        with product.sdk() as client:
            for chunk in client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": "Count to 100."}],
                max_tokens=LONG_ANSWER_TOKENS,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            ):
                finishes.extend(choice.finish_reason for choice in chunk.choices if choice.finish_reason)
                if chunk.usage is not None:
                    tokens.append(chunk.usage.completion_tokens)
                began.set()

    reader = threading.Thread(target=read_stream)
    reader.start()
    assert began.wait(60)
    interrupted = time.monotonic()
    product.interrupt()
    reader.join(120)
    assert (finishes, tokens) == (["length"], [LONG_ANSWER_TOKENS])
    assert product.wait() == 0, product.text
    figure("Ctrl-C under a running answer → nothing left", f"{time.monotonic() - interrupted:.1f} s")
    assert product.left() == []
    assert product.said("^gateway  draining")
    assert product.said("^tiny-0  stopped")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "cascadia.yaml"
    file.write_text(SIMULATED_CONFIG)
    return file


def test_the_second_start_keeps_the_key_and_shows_none(tmp_path: Path, config: Path) -> None:
    arguments = ("--config", str(config), "--listen", FREE_PORT)
    with up(tmp_path / "d", *arguments) as first:
        first.wait_until_ready()
        key = first.key
    with up(tmp_path / "d", *arguments) as second:
        second.wait_until_ready()
        assert second.said("^  API key  use the one you saved")
        assert key not in second.text
        assert answer_of(f"export CASCADIA_API_KEY={key}; {second.curl_line}")["object"] == "chat.completion"


def test_a_second_instance_is_refused_and_names_the_first(tmp_path: Path, config: Path) -> None:
    arguments = ("--config", str(config), "--listen", FREE_PORT)
    with up(tmp_path / "d", *arguments) as first:
        first.wait_until_ready()
        second = start(tmp_path / "d", *arguments)
        assert second.wait() == 1, second.text
        second.end()
        assert second.said(rf"already runs on the data folder .*: process {first.process.pid}")
        assert second.said(rf"next: kill {first.process.pid}")
        assert first.is_ready()
        assert answer_of(first.curl_line)["object"] == "chat.completion"


def test_a_taken_port_is_refused_and_names_its_holder(tmp_path: Path, config: Path) -> None:
    with up(tmp_path / "a", "--config", str(config), "--listen", FREE_PORT) as first:
        address = first.url.removeprefix("http://").removesuffix("/v1")
        second = start(tmp_path / "b", "--config", str(config), "--listen", address)
        assert second.wait() == 1, second.text
        second.end()
        assert second.said(rf"{address} is taken by process \d+ \(")
        assert "Traceback" not in second.text


def test_a_gateway_before_a_running_server_answers_in_a_moment(tmp_path: Path, figure: Figure) -> None:
    with simulated(tmp_path) as address:
        began = time.monotonic()
        with up(tmp_path / "d", "--upstream", address, "--listen", FREE_PORT) as product:
            shown = time.monotonic() - began
            with product.client() as client:
                body = {"model": "simulated", "messages": [{"role": "user", "content": "Hi"}]}
                product.until(
                    lambda: client.post("/chat/completions", json=body).is_success,
                    seconds=FIRST_ANSWER_SECONDS,
                )
                figure(
                    "up --upstream → screen, first answer",
                    f"{shown:.2f} s, {time.monotonic() - began:.2f} s",
                )
            with product.client("gw_local_nobody") as stranger:
                assert stranger.post("/chat/completions", json=body).status_code == 401
            assert answer_of(product.curl_line)["model"] == "simulated"
            assert [process.pid for process in product.processes()] == [product.process.pid]
