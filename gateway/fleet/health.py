"""Asking a server whether it answers and what it serves, over httpx: control plane, never on a request's path."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import msgspec

from gateway.fleet.endpoint import Address, UnixAddress

if TYPE_CHECKING:
    import httpx

PROBE_SECONDS = 5.0


class Card(msgspec.Struct, frozen=True):
    """One model as a server lists it. What it does not say is `None`."""

    id: str
    root: str | None = None
    """Where its weights are from."""
    max_model_len: int | None = None

    def is_other_than(self, before: Card) -> bool:
        """Whether something that both say is not the same."""
        pairs = ((self.root, before.root), (self.max_model_len, before.max_model_len))
        return any(now is not None and then is not None and now != then for now, then in pairs)


class _Models(msgspec.Struct):
    data: list[Card]


class ProbeError(Exception):
    """The server does not answer as it should; the message says how, in one line."""


def open_client(address: Address) -> httpx.AsyncClient:
    """A client that talks to `address` only: no proxy, no redirects, no cookies kept. The caller closes it."""
    import httpx  # noqa: PLC0415 - 60 ms that the first answer need not wait for

    socket = address.path if isinstance(address, UnixAddress) else None
    return httpx.AsyncClient(
        base_url="http://engine" if socket else str(address),
        # No address here is an https one: the usual context is 5 MB of certificates and 0.1 s of the event loop.
        transport=httpx.AsyncHTTPTransport(uds=socket, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
        timeout=PROBE_SECONDS,
        trust_env=False,
    )


async def list_models(client: httpx.AsyncClient, path: str, api_key: str | None) -> tuple[str, ...]:
    """The model names that the server lists. Raises `ProbeError`."""
    return tuple([card.id for card in await list_cards(client, path, api_key)])


async def list_cards(client: httpx.AsyncClient, path: str, api_key: str | None) -> tuple[Card, ...]:
    """The models that the server lists. Raises `ProbeError`."""
    import httpx  # noqa: PLC0415 - as above

    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        answer = await client.get(path, headers=headers)
        if answer.status_code != httpx.codes.OK:
            raise ProbeError(f"GET {path} answered {answer.status_code}")
        return tuple(msgspec.json.decode(answer.content, type=_Models).data)
    except httpx.HTTPError as error:
        raise ProbeError(f"GET {path}: {type(error).__name__}") from error
    except msgspec.DecodeError as error:
        raise ProbeError(f"GET {path} is no model list: {error}") from error
