"""What the attacks share."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.support.gateway import Driver


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The event loop that the gateway runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(params=list(Driver), ids=lambda driver: driver.value)
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


@pytest.fixture
def unused() -> Callable[[], tuple[str, int]]:
    """An address of 127.0.0.1 at which nobody listens."""

    def find() -> tuple[str, int]:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return ("127.0.0.1", int(sock.getsockname()[1]))

    return find
