"""What the real vLLM says of its prefix cache, against what it then finds in it; and after it was started anew."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from engines.bundled import model_path
from gateway.balancer.precise.knowledge import Knowledge
from gateway.core.call import Principal
from gateway.fleet.cached import Followers
from gateway.fleet.cached.follower import Follower
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Published, Sighting, TcpAddress, UnixAddress
from gateway.proxy.aside import OneThread
from tests.support.calls import call
from tests.support.real_engine import RunningEngine, run_engine

pytestmark = pytest.mark.real_engine

SOON = 5.0
RULES = "".join(f"Rule {at}: answer with care, and count to {at}.\n" for at in range(24))
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "required": ["city"]}},
}


def chat(question: str, **fields: Any) -> dict[str, Any]:
    """One that shares its beginning with the others of its first word."""
    system = f"{question.split(maxsplit=1)[0]}\n{RULES}"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    return {"model": "tiny", "messages": messages, "max_tokens": 4, **fields}


ASKED = [
    chat("What is the capital of Norway?"),
    chat("What is the capital of Norway?"),
    chat("What is the capital of Spain?"),
    chat("Count to nine.", cache_salt="pepper"),
    chat("Count to nine.", cache_salt="pepper"),
    chat("Count to nine."),
    chat("Weather in Oslo?", tools=[WEATHER], tool_choice="none"),
    chat("Weather in Oslo?", tools=[WEATHER], tool_choice="none"),
    {"model": "tiny", "prompt": RULES, "max_tokens": 4},
    {"model": "tiny", "prompt": RULES, "max_tokens": 4},
    *[chat(f"What is {at} and {at}?") for at in range(6)],
]


@contextmanager
def started(folder: Path) -> Iterator[RunningEngine]:
    """The real engine, publishing in `folder`."""
    python = Path(os.environ["CASCADIA_ENGINE_ENVIRONMENT"]) / "bin" / "python"
    events = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        "endpoint": f"ipc://{folder}/e",
        "replay_endpoint": f"ipc://{folder}/r",
    }
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model_path())]
    command += ["--kv-events-config", json.dumps(events), "--enable-prompt-tokens-details"]
    environment = {
        **{name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ},
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "PYTHONSAFEPATH": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    with run_engine(command, environment) as engine:
        yield engine


class Watching:
    """A gateway's knowledge of one engine, without the gateway."""

    def __init__(self, folder: Path) -> None:
        where = Published(UnixAddress(f"{folder}/e"), UnixAddress(f"{folder}/r"), str(model_path()))
        endpoint = Endpoint("r", TcpAddress("h", 1), "vllm", (("tiny", "tiny"),), None, 4, 1.0, where)
        catalog = Catalog()
        catalog.publish("test", [Sighting(endpoint, Condition.READY)])
        self.aside = OneThread()
        self.followers = Followers(catalog)
        self.knowledge = Knowledge(self.followers, self.aside.run, _no_salt, clock=time.monotonic)
        (self.replica,) = catalog.replicas()

    @property
    def follower(self) -> Follower:
        (follower,) = self.followers
        return follower

    def look(self) -> None:
        self.followers.sweep()
        self.knowledge.prepare()

    def predicted(self, body: dict[str, Any]) -> int | None:
        told = self.knowledge.look(call(body=json.dumps(body).encode(), model="tiny"), [self.replica])
        return None if told is None else told.cached(self.replica)

    async def ask(self, client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, int, int]:
        """Predicted and found tokens, and all of the prompt."""
        if self.predicted(body) is None:
            await until(lambda: self.predicted(body) is not None)
        await asyncio.sleep(0.2)  # as long as what is new may take to be made into tokens, and events to come
        predicted = self.predicted(body)
        assert predicted is not None
        path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        answer = await client.post(path, json=body)
        usage = answer.raise_for_status().json()["usage"]
        found = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        return predicted, found, usage["prompt_tokens"]


def _no_salt(principal: Principal, engine: str) -> None:
    del principal, engine


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def asking(engine: RunningEngine) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(engine.uds), verify=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://engine", headers=engine.headers, timeout=120
    ) as client:
        yield client


async def test_predictions_are_exact_and_soon_are_again_after_a_restart(short_folder: Path) -> None:
    watching = Watching(short_folder)
    with started(short_folder) as engine:
        watching.look()
        await until(lambda: watching.follower.is_connected and watching.follower.feed.is_in_step)
        async with asking(engine) as client:
            asked = [await watching.ask(client, body) for body in ASKED]
        assert [predicted for predicted, _, _ in asked] == [found for _, found, _ in asked]
        assert sum(found for _, found, _ in asked) > sum(size for _, _, size in asked) / 3
        assert len(watching.follower.blocks) > 0
    await until(lambda: len(watching.follower.blocks) == 0)
    with started(short_folder) as engine:
        loop = asyncio.get_running_loop()
        began, again = loop.time(), []
        async with asking(engine) as client:
            while loop.time() - began < SOON or not again:
                again.append(await watching.ask(client, ASKED[len(again) % len(ASKED)]))
        wrong = sum(abs(predicted - found) for predicted, found, _ in again)
        assert wrong < 0.1 * sum(size for _, _, size in again), again
        assert any(found for _, found, _ in again)
    watching.followers.close()
    watching.aside.close()
