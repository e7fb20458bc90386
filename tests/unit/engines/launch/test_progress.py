from __future__ import annotations

from pathlib import Path

import pytest

from engines.launch.progress import LAST_PHASE, Phases, StartTimes, last_error, progress_line

# Lines of a real start of vLLM 0.32 on the CPU, shortened.
REAL_START = [
    (
        "(APIServer pid=7) INFO 11-23 22:27:38 [api_utils.py:286] non-default args: {}",
        "reading the model's configuration",
    ),
    (
        "(APIServer pid=7) INFO 11-23 22:27:38 [model.py:2152] Using max model len 4096",
        "starting the engine core",
    ),
    (
        "(APIServer pid=7) WARNING 11-23 22:27:38 [vllm.py:1703] Enforce eager set, disabling torch.compile",
        None,
    ),
    ("(APIServer pid=7) INFO 11-23 22:27:39 [compilation.py:317] Enabled custom fusions: norm_quant", None),
    (
        "(EngineCore pid=8) INFO 11-23 22:27:54 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: …",
        "starting the engine's worker",
    ),
    (
        "(Worker pid=9) INFO 11-23 22:28:24 [parallel_state.py:1906] world_size=1 rank=0 local_rank=0",
        "setting up the device",
    ),
    (
        "(Worker pid=9) INFO 11-23 22:28:24 [cpu_model_runner.py:68] Starting to load model /m...",
        "loading weights",
    ),
    (
        "Loading safetensors checkpoint shards:  62% Completed | 5/8 [00:00<00:00, 53.88it/s]",
        "loading weights 62 %",
    ),
    (
        "(Worker pid=9) INFO 11-23 22:28:24 [default_loader.py:501] Loading weights took 0.03 seconds",
        "allocating the KV cache",
    ),
    (
        "(EngineCore pid=8) INFO 11-23 22:28:26 [kv_cache_utils.py:2327] CPU KV cache size: 1,048,576 tokens, Maximum",
        "warming up",
    ),
    (
        "(EngineCore pid=8) INFO 11-23 22:28:34 [core.py:402] init engine (profile, create kv cache, warmup model) took 8.01 s",
        "starting the API server",
    ),
    ("INFO:     Application startup complete.", LAST_PHASE),
]


def test_the_phases_of_a_real_start():
    phases = Phases()
    assert [phases.hear(line) for line, _ in REAL_START] == [phase for _, phase in REAL_START]


def test_a_late_line_does_not_set_a_start_back():
    phases = Phases()
    assert phases.hear(REAL_START[-1][0]) == LAST_PHASE
    assert phases.hear(REAL_START[3][0]) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["INFO all is well", "ERROR shutting down"], None),
        (
            [
                "Traceback (most recent call last):",
                "(APIServer pid=1) RuntimeError: no room",
                "nanobind: leaked 3 instances!",
            ],
            "RuntimeError: no room",
        ),
        (
            ["(Worker pid=3) ERROR 11-23 22:28:26 [core.py:1] torch.OutOfMemoryError: CUDA out of memory."],
            "torch.OutOfMemoryError: CUDA out of memory.",
        ),
    ],
)
def test_the_last_line_that_names_an_error(lines: list[str], expected: str | None):
    assert last_error(lines) == expected


def test_start_times_are_remembered_by_kind(tmp_path: Path):
    path = tmp_path / "start-times.json"
    assert StartTimes(path).usual_s("vllm m") is None
    StartTimes(path).remember("vllm m", 38.04)
    StartTimes(path).remember("vllm n", 5)
    assert StartTimes(path).usual_s("vllm m") == 38.0


def test_start_times_that_cannot_be_read_are_as_good_as_none(tmp_path: Path):
    path = tmp_path / "start-times.json"
    path.write_text("{")
    times = StartTimes(path)
    assert times.usual_s("k") is None
    times.remember("k", 1)
    assert times.usual_s("k") == 1


def test_a_progress_line_says_what_since_when_and_until_when():
    assert progress_line("tiny-0", "starting", 12.4, "loading weights", 38.0) == (
        "tiny-0  starting  12 s  loading weights (usually ready after 38 s)"
    )
    assert progress_line("tiny-0", "starting", 0, "warming up", None) == "tiny-0  starting  0 s  warming up"
