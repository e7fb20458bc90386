"""Errors of the control plane in the API's own shape: no plain text, no `{"detail": …}`, never a traceback."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.core.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound
from gateway.openai import errors
from gateway.openai.operations import OPERATIONS

log = logging.getLogger(__name__)
_METHODS = {operation.path.decode(): operation.method.decode() for operation in OPERATIONS.values()}
_METHOD_NOT_ALLOWED = 405


def install(app: FastAPI) -> None:
    """Answer every error of `app` in the API's shape."""
    handlers: dict[type[Exception], Callable[[Request, Exception], Response]] = {
        GatewayError: _gateway_error,
        HTTPException: _routing_error,
        RequestValidationError: _invalid,
        Exception: _bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def answer(error: GatewayError) -> Response:
    """`error` as a response."""
    response = Response(errors.body_of(error), status_code=error.status)
    for name, value in errors.headers_of(error):
        response.headers[name.decode()] = value.decode()
    response.headers["x-request-id"] = f"req-{secrets.token_hex(12)}"
    return response


def _gateway_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 - registered for that class
    return answer(error)


def _invalid(_: Request, error: Exception) -> Response:
    """A parameter that is not what its route takes: the first one is named."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for that class
    first = error.errors()[0]
    field = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), None)
    return answer(InvalidRequest(f"{field}: {first['msg']}", param=field))


def _routing_error(request: Request, error: Exception) -> Response:
    """Starlette found no route, or not for this method. Inference paths are not among its routes, but exist."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class
    path = request.scope["path"]
    if path in _METHODS:
        allowed = _METHODS[path]
    elif error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "GET")
    else:
        return answer(NotFound("There is nothing at this path. The API is under /v1."))
    response = answer(MethodNotAllowed(f"This path takes {allowed} only."))
    response.headers["allow"] = allowed
    return response


def _bug(request: Request, error: Exception) -> Response:
    log.error("request failed", extra={"path": request.scope["path"]}, exc_info=error)
    return answer(GatewayError("The gateway failed. The log has the cause."))
