"""Reading an engine's metrics page: what two generations of vLLM call things, and pages that are none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.simulated.metering import Metering
from gateway.fleet.load import Load, read_load

PAGES = Path(__file__).parent / "pages"

OLD = Load(
    running=3.0,
    waiting=2.0,
    kv_usage=0.25,
    prefix_queries=1200.0,
    prefix_hits=300.0,
    steps=451.0,
    prompt_tokens=1200.0,
    generation_tokens=880.0,
    preemptions=1.0,
    block_tokens=16,
    kv_tokens=16 * 27000,
)
NEW = Load(
    running=5.0,
    waiting=1.0,
    kv_usage=0.5,
    prefix_queries=5000.0,
    prefix_hits=4100.0,
    steps=9001.0,
    prompt_tokens=5000.0,
    generation_tokens=70123.0,
    preemptions=0.0,
    block_tokens=16,
    kv_tokens=16 * 1024,
)


@pytest.mark.parametrize(("name", "expected"), [("gpu-names.txt", OLD), ("vllm-0.32.txt", NEW)])
def test_both_generations_of_names_are_read(name, expected) -> None:
    assert read_load((PAGES / name).read_bytes()) == expected


class _Busy:
    running, waiting, kv_usage = 2, 1, 0.125


def test_the_simulated_engines_page_is_read() -> None:
    metering = Metering()
    metering.prompt_tokens, metering.generation_tokens = 12, 34
    metering.iteration_tokens.observe_all([1.0, 2.0, 3.0])
    load = read_load(metering.page('a "model" with } and \n', _Busy()))
    assert load is not None
    assert (load.running, load.waiting, load.kv_usage) == (2.0, 1.0, 0.125)
    assert (load.prompt_tokens, load.generation_tokens, load.steps) == (12.0, 34.0, 3.0)
    assert not load.is_asleep


def test_ranks_are_added_up_and_the_fullest_cache_counts() -> None:
    page = b"".join(
        b'vllm:num_requests_running{engine="%d"} 2.0\nvllm:num_requests_waiting{engine="%d"} 1\n'
        b'vllm:kv_cache_usage_perc{engine="%d"} 0.%d\n' % (rank, rank, rank, rank + 1)
        for rank in range(4)
    )
    assert read_load(page) == Load(running=8.0, waiting=4.0, kv_usage=0.4)


BARE = b"vllm:num_requests_running 1\nvllm:num_requests_waiting 0\n"


@pytest.mark.parametrize("asleep", [True, False])
def test_whether_somebody_put_it_to_sleep(asleep) -> None:
    line = b'vllm:engine_sleep_state{engine="0",sleep_state="awake"} %d.0\n' % (not asleep)
    load = read_load(BARE + line + b'vllm:engine_sleep_state{engine="0",sleep_state="discard_all"} 0.0\n')
    assert load is not None
    assert load.is_asleep is asleep


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"<html>busy</html>",
        b"vllm:num_requests_running 1\n",
        b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 0\n",
        b"vllm:num_requests_running -1\nvllm:num_requests_waiting 0\n",
        b"vllm:num_requests_running +Inf\nvllm:num_requests_waiting 0\n",
        b"vllm:num_requests_running{\nvllm:num_requests_waiting 0\n",
        b"# vllm:num_requests_running 1\n# vllm:num_requests_waiting 0\n",
        b"xvllm:num_requests_running 1\nvllm:num_requests_waiting_by_reason 0\n",
    ],
)
def test_what_is_no_page(page) -> None:
    assert read_load(page) is None


def test_a_value_is_what_follows_the_labels_whatever_they_hold() -> None:
    page = (
        b'vllm:num_requests_running{model_name="a} 7 \\"b"} 4.0 1700000000\r\nvllm:num_requests_waiting{} 2\n'
    )
    assert read_load(page) == Load(running=4.0, waiting=2.0)


WORDS = st.sampled_from(
    [
        b"vllm:",
        b"num_requests_running",
        b"num_requests_waiting",
        b"kv_cache_usage_perc",
        b"cache_config_info",
        b"engine_sleep_state",
        b'{sleep_state="awake"}',
        b'{block_size="16",num_gpu_blocks="9"}',
        b"{",
        b"}",
        b" ",
        b"\n",
        b"1e999",
        b"0",
        b"-4",
        b"NaN",
        b"\xff",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(WORDS, st.binary(max_size=8)), max_size=40).map(b"".join))
def test_any_bytes_are_read_without_an_error_and_give_sane_numbers(page) -> None:
    load = read_load(BARE + page)
    assert load is not None
    assert load.running >= 1.0
    assert math.isfinite(load.running + load.waiting)
    assert load.kv_usage is None or 0.0 <= load.kv_usage <= 1.0
