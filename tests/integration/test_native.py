"""The compiled hot path behaves as its sources do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.native import build

ROOT = Path(__file__).parents[2]
NATIVE = os.environ | {"CASCADIA_NATIVE": "1", "PYTHONPATH": str(ROOT)}
SOURCES = NATIVE | {"CASCADIA_NATIVE": "0"}


def run(*arguments: str, environment: dict[str, str]) -> str:
    found = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:]
    return found.stdout


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    assert build.missing() is None
    assert build.main() == 0
    said = run(
        "-c",
        "import gateway, gateway.proxy.exchange as e; print(gateway.IS_NATIVE, e.__file__)",
        environment=NATIVE,
    )
    assert said.startswith("True ")
    assert ".so" in said


def test_the_contract_of_both_drivers_holds_for_the_compiled_gateway() -> None:
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/proxy", environment=NATIVE)


def test_a_schedule_of_faults_ends_the_same_to_the_byte() -> None:
    compiled, sources = (
        [
            line
            for line in run("-m", "simulation", "--schedules", "40", environment=environment).splitlines()
            if not line.startswith("wall time")
        ]
        for environment in (NATIVE, SOURCES)
    )
    assert compiled == sources
    assert any(line.startswith("violations    0") for line in compiled)
