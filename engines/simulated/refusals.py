"""Every answer that is not a generation: the statuses and bodies that vLLM's routes and FastAPI beneath them give."""

from __future__ import annotations

from typing import Any

import msgspec

BUSY_MESSAGE = (
    "The engine is currently busy and cannot accept new requests. "
    "Please try again later or on a different instance."
)
DRAINING_MESSAGE = "cannot schedule new futures after shutdown"
_MAX_REPORTED_ERRORS = 10

NOT_FOUND = b'{"detail":"Not Found"}'
METHOD_NOT_ALLOWED = b'{"detail":"Method Not Allowed"}'
UNREADABLE = b'{"detail":"There was an error parsing the body"}'
UNAUTHORIZED = b'{"error":"Unauthorized"}'
NOT_HTTP = b"Invalid HTTP request received."


class Refused(Exception):
    """A request that the engine answers with an error.

    `kind` is vLLM's `type`, which is spelled one way by its validation layer and another way by its engine.
    """

    def __init__(
        self, status: int, message: str, kind: str = "BadRequestError", param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param

    def body(self) -> bytes:
        """Give the JSON body."""
        return msgspec.json.encode({"error": self._error()})

    def event(self) -> bytes:
        """Give the same error as an event of a stream that has begun. vLLM spaces its JSON there."""
        fields = ", ".join(f'"{name}": {_json(value)}' for name, value in self._error().items())
        return f'data: {{"error": {{{fields}}}}}\n\n'.encode()

    def _error(self) -> dict[str, Any]:
        return {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}


class Unreadable(Exception):
    """A body that is not UTF-8: FastAPI answers it before vLLM's error shape applies."""


def invalid(parameter: str, message: str, value: object = None) -> Refused:
    """Give the refusal of a parameter whose value the engine does not take."""
    told = f"parameter={parameter}" if value is None else f"parameter={parameter}, value={value}"
    return Refused(400, f"{message} ({told})", param=parameter)


def not_valid(errors: list[dict[str, Any]]) -> Refused:
    """Give the refusal of a body whose types are wrong; the first ones are told in full."""
    shown = [f"  {error}" for error in errors[:_MAX_REPORTED_ERRORS]]
    if len(errors) > _MAX_REPORTED_ERRORS:
        shown.append(f"  ...and {len(errors) - _MAX_REPORTED_ERRORS} more errors")
    counted = "1 validation error" if len(errors) == 1 else f"{len(errors)} validation errors"
    return Refused(400, "\n".join([f"{counted}:", *shown]), "Bad Request", errors[0]["loc"])


def unknown_model(name: str, names: tuple[str, ...]) -> Refused:
    """Give the refusal of a model that is not served."""
    message = f"The model `{name}` does not exist. Valid aliases: {', '.join(names)}."
    return Refused(404, message, "NotFoundError", "model")


def busy() -> Refused:
    """Give the refusal of a full queue."""
    return Refused(503, BUSY_MESSAGE, "Service Unavailable")


def broken(message: str) -> Refused:
    """Give the answer of an engine whose core is gone."""
    return Refused(500, message, "InternalServerError")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
