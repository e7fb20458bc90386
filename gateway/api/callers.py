"""Who calls a route of the control plane."""

from __future__ import annotations

from fastapi import Request

from gateway.auth.base import Authenticator
from gateway.auth.credential import bearer
from gateway.core.call import Principal


def caller_of(request: Request, authenticator: Authenticator) -> Principal:
    """The principal of `request`. Raises as `bearer` and `Authenticator.authenticate`."""
    address = None if request.client is None else request.client.host
    return authenticator.authenticate(credential_of(request), address)


def credential_of(request: Request) -> bytes | None:
    """The token that `request` bears, `None` without any. Raises as `bearer`."""
    token = None
    for value in request.headers.getlist("authorization"):
        token = bearer(value.encode("latin-1"), token)
    return token
