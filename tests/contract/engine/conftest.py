"""The two engines of this suite: the simulated one and the real vLLM, started with the same flags."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from tests.contract.engine.exchange import Engine
from tests.support.real_engine import RunningEngine, run_engine

SIMULATED = [sys.executable, "-m", "engines.simulated", "--model", "simulated"]
PACE = ["--sim-ttft-ms", "2", "--sim-itl-ms", "2"]


@pytest.fixture(scope="session")
def simulated_engine() -> Iterator[RunningEngine]:
    with run_engine([*SIMULATED, *PACE], dict(os.environ)) as engine:
        yield engine


@pytest.fixture(scope="session", params=["simulated", pytest.param("real", marks=pytest.mark.real_engine)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The engine under test."""
    return Engine(request.getfixturevalue(f"{request.param}_engine"))
