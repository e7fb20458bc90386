from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.descriptors import PER_CONNECTION, RESERVED, room_for


@pytest.mark.parametrize(
    ("wanted", "available", "room"),
    [
        (100, 1_000_000, 100),
        (10_000, 1024, (1024 - RESERVED) // PER_CONNECTION),
        (10_000, RESERVED, 1),
        (10_000, 10, 1),
    ],
)
def test_there_are_no_more_connections_than_descriptors_for_them(
    wanted: int, available: int, room: int
) -> None:
    assert room_for(wanted, available) == room


def test_all_allowed_descriptors_are_taken() -> None:
    script = (
        "import resource; from gateway.descriptors import raise_limit; "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 400)); "
        "print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["400", "400", "400"]
