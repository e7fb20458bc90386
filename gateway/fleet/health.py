"""Asking a server whether it answers and what it serves, over httpx: control plane, never on a request's path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.fleet.endpoint import Address, UnixAddress

if TYPE_CHECKING:
    import httpx

PROBE_SECONDS = 5.0


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


class ProbeError(Exception):
    """The server does not answer as it should; the message says how, in one line."""


def open_client(address: Address) -> httpx.AsyncClient:
    """A client that talks to `address` only: no proxy, no redirects, no cookies kept. The caller closes it."""
    import httpx  # noqa: PLC0415 - 60 ms that the first answer need not wait for

    socket = address.path if isinstance(address, UnixAddress) else None
    return httpx.AsyncClient(
        base_url="http://engine" if socket else str(address),
        transport=httpx.AsyncHTTPTransport(uds=socket),
        timeout=PROBE_SECONDS,
        trust_env=False,
    )


async def list_models(client: httpx.AsyncClient, path: str, api_key: str | None) -> tuple[str, ...]:
    """The model names that the server lists. Raises `ProbeError`."""
    import httpx  # noqa: PLC0415 - as above

    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = await client.get(path, headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise ProbeError(f"GET {path} answered {answer.status_code}")
        return tuple(model.id for model in msgspec.json.decode(answer.content, type=_Models).data)
    except httpx.HTTPError as error:
        raise ProbeError(f"GET {path}: {type(error).__name__}") from error
    except msgspec.DecodeError as error:
        raise ProbeError(f"GET {path} is no model list: {error}") from error
