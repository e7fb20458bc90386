"""What a process answers its siblings, for itself alone: the same routes without the door, on a socket that is theirs.

The socket is in a folder of mode 0700. Who asked, and whether they may, was settled at the door of the sibling that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from gateway.api.admin.door import AdminRoute, Door, Visit
from gateway.api.control import bare
from gateway.api.errors import answer
from gateway.core.call import Role
from gateway.core.errors import GatewayError

_SIBLING = "sibling"


class Inside(Door):
    """Lets everybody in who came here."""

    def __init__(self) -> None:
        self.denied = 0
        self.spread = None

    async def pass_through(
        self,
        request: Request,
        inner: Callable[[Request], Coroutine[Any, Any, Response]],
        role: Role,
        action: str,  # noqa: ARG002 - the shape of a door
        *,
        is_scoped: bool,  # noqa: ARG002 - the same
    ) -> Response:
        """The route's answer."""
        request.scope["visit"] = Visit(_SIBLING, role, "-", None)
        try:
            return await inner(request)
        except GatewayError as error:
            return answer(error)


def inside_app(routers: Callable[[type[AdminRoute]], Sequence[APIRouter]]) -> FastAPI:
    """The application on that socket, of what `routers` makes with the class of its routes."""
    app = bare("Cascadia Gateway, for its siblings")
    for router in routers(Inside().route_class()):
        app.router.routes.extend(router.routes)
    return app
