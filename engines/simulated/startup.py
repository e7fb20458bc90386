"""The log lines of a vLLM start, so that what reads them can be tried in a second instead of in a minute."""

from __future__ import annotations

import os
import time

from engines.simulated.options import VERSION, Options

# How far into the start each line is written (share of the whole), which process writes it, and what it says.
_LINES = (
    (0.00, "APIServer", "api_utils.py:347", "version {version} model {model}"),
    (0.10, "APIServer", "api_utils.py:286", "non-default args: {{'model': '{model}'}}"),
    (0.30, "APIServer", "model.py:733", "Resolved architecture: SimulatedForCausalLM"),
    (0.30, "APIServer", "model.py:2152", "Using max model len {room}"),
    (
        0.45,
        "EngineCore",
        "core.py:133",
        "Initializing a V1 LLM engine (v{version}) with config: model='{model}'",
    ),
    (0.55, "Worker", "parallel_state.py:1906", "world_size=1 rank=0 local_rank=0 backend=gloo"),
    (0.60, "Worker", "cpu_model_runner.py:68", "Starting to load model {model}..."),
    (0.70, "Worker", "default_loader.py:501", "Loading weights took 0.04 seconds"),
    (0.75, "EngineCore", "kv_cache_utils.py:2327", "CPU KV cache size: 1,048,576 tokens"),
    (0.90, "EngineCore", "core.py:402", "init engine (profile, create kv cache, warmup model) took 0.10 s"),
    (0.95, "APIServer", "entry.py:136", "Supported tasks: ['generate']"),
    (1.00, "APIServer", "entry.py:140", "Starting vLLM server on {address}"),
)
READY_LINE = "INFO:     Application startup complete."


def lines(options: Options, address: str) -> list[tuple[float, str]]:
    """Give each line with the share of the start after which it is written."""
    known = {"version": VERSION, "model": options.model, "room": options.max_model_len, "address": address}
    return [(share, _line(process, place, text.format(**known))) for share, process, place, text in _LINES]


def _line(process: str, place: str, text: str) -> str:
    stamp = time.strftime("%m-%d %H:%M:%S")
    return f"({process} pid={os.getpid()}) INFO {stamp} [{place}] {text}"
