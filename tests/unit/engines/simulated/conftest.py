"""Engines in the test's own event loop."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from engines.simulated import Options, SimulatedEngine

BODY = {"model": "simulated", "messages": [{"role": "user", "content": "one two three four five"}]}
CHAT = "/v1/chat/completions"


class Session:
    """An engine and a client of it."""

    def __init__(self, engine: SimulatedEngine, client: httpx.AsyncClient) -> None:
        self.engine = engine
        self.client = client

    async def chat(self, **fields: Any) -> httpx.Response:
        return await self.client.post(CHAT, json={**BODY, **fields})

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; fails after five seconds."""
        async with asyncio.timeout(5):
            while not is_so():  # noqa: ASYNC110 what is awaited has no event
                await asyncio.sleep(0.001)


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts engines: `await serve(Options(...), itl_ms=5)`."""
    numbers = itertools.count()
    async with AsyncExitStack() as stack:

        async def start(options: Options | None = None, *, tcp: bool = False, **script: Any) -> Session:
            engine = SimulatedEngine(options, **script)
            uds = tmp_path / f"{next(numbers)}"
            await stack.enter_async_context(engine.serve(port=0) if tcp else engine.serve(uds=uds))
            transport = None if tcp else httpx.AsyncHTTPTransport(verify=False, uds=str(uds))
            base = engine.address if tcp else "http://engine"
            client = httpx.AsyncClient(transport=transport, base_url=base, verify=False, trust_env=False)
            return Session(engine, await stack.enter_async_context(client))

        yield start
