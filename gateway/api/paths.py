"""Routes are found by the path as it was sent.

A server that decodes a path before it looks for a route has two names for each: what stands in front of it and judges
the one is passed by the other. Only the name of a model may be encoded, since it may hold a slash; it is looked up, and
never a path again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_MODEL_PREFIX = b"/v1/models/"
Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class ByRawPath:
    """ASGI middleware: what is encoded in a path stays encoded."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """One ASGI call."""
        raw: bytes = scope.get("raw_path") or b""
        if b"%" in raw and not raw.startswith(_MODEL_PREFIX):
            scope = {**scope, "path": raw.decode("latin-1")}
        await self._app(scope, receive, send)
