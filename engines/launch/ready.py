"""Whether a worker can really answer: healthy, the right model, and one token made on request.

vLLM's /health is 200 while its core is stopped, asleep or dying (measured on 0.32), so it only tells when to ask for
the token.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import httpx
import msgspec

from engines.launch.address import LOOPBACK, Address, UnixSocket
from engines.launch.progress import LAST_PHASE

POLL_S = 0.25
_HEALTH_TIMEOUT_S = 5.0
_TOKEN_TIMEOUT_S = 120.0
"""The first token of an engine may compile kernels first."""

_LOAD = re.compile(rb"^vllm:num_requests_(?:running|waiting)\{[^}]*\} (\S+)", re.MULTILINE)


class NeverReady(Exception):
    """The worker answers, but not as the one that was started: waiting longer cannot help."""


def client(address: Address, api_key: str) -> httpx.AsyncClient:
    """A client of one worker. The caller closes it."""
    uds = str(address.path) if isinstance(address, UnixSocket) else None
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(uds=uds, verify=False),
        base_url=f"http://{LOOPBACK}" if uds else address.url,
        headers={"authorization": f"Bearer {api_key}"},
        timeout=_HEALTH_TIMEOUT_S,
        trust_env=False,  # a proxy of the environment is not for this machine's own sockets
    )


class _Named(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Named]


class _Completion(msgspec.Struct):
    choices: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1)]


_Answer = TypeVar("_Answer")


async def until_ready(
    worker: httpx.AsyncClient, models: Iterable[str], on_phase: Callable[[str], None]
) -> None:
    """Return when the worker has answered a one-token request for a model it was told to serve.

    Waits without a limit of its own: the caller sets the deadline and watches the process.
    Raises `NeverReady` when it serves other models or refuses the request.
    """
    names = tuple(models)
    while not await _is_ready(worker, names, on_phase):  # noqa: ASYNC110 - another process has no event to wait for
        await asyncio.sleep(POLL_S)


async def _is_ready(
    worker: httpx.AsyncClient, names: tuple[str, ...], on_phase: Callable[[str], None]
) -> bool:
    try:
        health = await worker.get("/health")
        if health.status_code != httpx.codes.OK:
            return False
        on_phase(LAST_PHASE)
        return await _serves(worker, names) and await _answers(worker, names[0])
    except httpx.RequestError:  # not listening yet, or too busy to answer in time
        return False


async def _serves(worker: httpx.AsyncClient, names: tuple[str, ...]) -> bool:
    models = _understood(await worker.get("/v1/models"), _Models)
    if models is None:
        return False
    served = {model.id for model in models.data}
    if missing := set(names) - served:
        raise NeverReady(f"it serves {sorted(served)}, not {sorted(missing)}")
    return True


async def _answers(worker: httpx.AsyncClient, model: str) -> bool:
    body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    answer = await worker.post("/v1/completions", json=body, timeout=_TOKEN_TIMEOUT_S)
    return _understood(answer, _Completion) is not None


def _understood(answer: httpx.Response, shape: type[_Answer]) -> _Answer | None:
    """The body as `shape`; `None` for a server error, which may pass. Raises `NeverReady` for what will not pass."""
    if answer.is_server_error:
        return None
    said = f"{answer.request.method} {answer.url.path} answered {answer.status_code}: {answer.text[:200]}"
    if answer.status_code != httpx.codes.OK:
        raise NeverReady(said)
    try:
        return msgspec.json.decode(answer.content, type=shape)
    except msgspec.DecodeError:
        raise NeverReady(said) from None


async def in_flight(worker: httpx.AsyncClient) -> int | None:
    """Requests that the engine runs or holds waiting, by its own count; `None` when it does not tell.

    Costs the engine 8 ms of CPU: ask at most once a second.
    """
    try:
        answer = await worker.get("/metrics")
    except httpx.RequestError:
        return None
    counts = [float(value) for value in _LOAD.findall(answer.content)]
    return int(sum(counts)) if counts else None
