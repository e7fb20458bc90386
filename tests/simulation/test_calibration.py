"""Calibration: what was measured gives back the speed that made it, and a model of an engine is measured as it is."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.fleet.endpoint import TcpAddress
from simulation.calibrate.asking import NoAnswer, Spent, Target, spent
from simulation.calibrate.compare import simulated, trace
from simulation.calibrate.fit import Measured, fit
from simulation.capacity.speed import profile

PAGE = """\
vllm:request_queue_time_seconds_sum{engine="0",model_name="m"} 1.5
vllm:request_prefill_time_seconds_count{engine="0",model_name="m"} 3.0
vllm:request_prefill_time_seconds_sum{engine="0",model_name="m"} 0.25
vllm:request_decode_time_seconds_sum{engine="0",model_name="m"} 2.0
vllm:request_decode_time_seconds_sum{engine="1",model_name="m"} 2.0
"""


def test_the_parameters_that_made_the_times_are_found_again_under_outliers() -> None:
    step, token, sequence, context = 0.008, 0.00005, 0.0004, 0.000002
    noisy = [1.0, 1.0, 1.0, 1.0, 9.0]
    measured = Measured(
        prefills={n: [(step + sequence + token * n) * by for by in noisy] for n in (16, 400, 1000, 2000)},
        around=[0.004 * by for by in noisy],
        steps={n: [(step + sequence * n + context * 40 * n) * by for by in noisy] for n in (1, 4, 16)},
        long_steps=[(step + sequence + context * 3040) * by for by in noisy],
        long_context=3040,
        short_context=40,
    )
    found = fit(measured)
    assert found.step_ms == pytest.approx(8.0, rel=0.02)
    assert found.prefill_token_ms == pytest.approx(0.05, rel=0.02)
    assert found.sequence_ms == pytest.approx(
        0.48, rel=0.02
    )  # context of short prompts goes with the sequences
    assert found.kilotoken_ms == pytest.approx(2.0, rel=0.02)
    assert found.request_ms == pytest.approx(4.0, rel=0.02)


def test_an_engines_own_clock_is_read_off_its_page_and_added_over_ranks() -> None:
    assert spent(PAGE) == Spent(3, 1.5, 0.25, 4.0)
    with pytest.raises(NoAnswer):
        spent("vllm:num_requests_running 1.0\n")


def test_a_trace_of_one_seed_is_one_trace_and_its_model_answers_all_of_it() -> None:
    bounds = {"rate": 3.0, "seconds": 10.0, "prompt": (100, 900), "output": (10, 80)}
    lines = trace(1, **bounds)  # type: ignore[arg-type]  # a dictionary of several types
    assert lines == trace(1, **bounds)  # type: ignore[arg-type]
    speed = profile("tiny-cpu")
    waits = simulated(speed, lines)
    assert waits.inside == pytest.approx(waits.p50 - speed.request_ms / 1000, rel=0.5)
    assert speed.step_ms / 1000 < waits.per_token < 0.05


async def test_an_engine_is_asked_for_exactly_so_many_tokens_and_each_is_noted() -> None:
    asked: list[dict[str, object]] = []

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        asked.append(json.loads(await reader.readexactly(length)))
        events = [b'data: {"choices":[{"text":"a"}]}\n\n'] * 3 + [b"data: [DONE]\n\n"]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(engine, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        heard = await Target(TcpAddress("127.0.0.1", port), "m", "key").ask([300, 301], 3)
    assert len(heard.tokens) == 3
    assert heard.first_token >= 0
    assert (asked[0]["prompt"], asked[0]["max_tokens"], asked[0]["ignore_eos"]) == ([300, 301], 3, True)


async def test_an_engine_that_refuses_is_told_of() -> None:
    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(engine, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoAnswer, match="401"):
            await Target(TcpAddress("127.0.0.1", port), "m").ask([1], 1)
