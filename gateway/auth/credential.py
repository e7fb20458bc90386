"""The credential of a request: exactly one, as `Authorization: Bearer TOKEN` (RFC 6750, section 2.1)."""

from __future__ import annotations

from gateway.core.errors import InvalidRequest, Unauthenticated


def bearer(value: bytes, previous: bytes | None) -> bytes:
    """The token of an `Authorization` header.

    `previous` is the token of an earlier one in the same request. Raises `InvalidRequest` when there is one: two
    readers could each take another for the right one. Raises `Unauthenticated` for any other scheme.
    """
    if previous is not None:
        raise InvalidRequest("More than one Authorization header.")
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"bearer" or not token:
        raise Unauthenticated("Expected a header `Authorization: Bearer YOUR_API_KEY`.")
    return token
