"""Scenarios of load as tests write them."""

from __future__ import annotations

from typing import Any

from simulation.capacity.figures import Figures
from simulation.capacity.play import play
from simulation.capacity.scenario import Scenario

SPEED: dict[str, Any] = {
    "step_ms": 10.0,
    "prefill_token_ms": 0.05,
    "sequence_ms": 0.1,
    "request_ms": 1.0,
    "max_num_seqs": 32,
    "max_num_batched_tokens": 2048,
    "kv_blocks": 4000,
    "max_model_len": 4096,
}


def workload(name: str = "chat", **changes: Any) -> dict[str, Any]:
    """Three requests a second of 200 tokens, answered by 50."""
    usual = {
        "name": name,
        "arrivals": {"poisson": {"rate": 3.0}},
        "prompt": {"fixed": 200},
        "output": {"fixed": 50},
    }
    return {**usual, **changes}


def scenario(*workloads: dict[str, Any], count: int = 2, max_in_flight: int = 16, **changes: Any) -> Scenario:
    """Two small engines, a minute."""
    engines = {"count": count, "speed": changes.pop("speed", SPEED), "max_in_flight": max_in_flight}
    return Scenario.model_validate({"engines": engines, "workloads": workloads or (workload(),), **changes})


def played(*workloads: dict[str, Any], **changes: Any) -> Figures:
    """What the only variant comes to."""
    (figures,) = play(scenario(*workloads, **changes), {})
    return figures
