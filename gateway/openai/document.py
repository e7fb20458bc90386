"""One JSON object, read so that nobody who reads it again can read something else.

What goes upstream is encoded anew from the objects that were read here, never the client's own bytes: the spellings on
which readers differ - lone surrogates, numbers too large, a name given twice - are refused or gone.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from gateway.core.errors import InvalidJson, InvalidRequest
from gateway.openai.complaints import of_types
from gateway.openai.structure import MAX_DIGITS, check_size

Members = dict[str, Any]

_SLOW_FLOATS_BYTES = 20_000
"""Above this size floats are read by Python. msgspec takes 9 µs for one near the ends of the range (`1e300`), Python
0.2 for any; below it, all of them together take 30 ms at most."""


def _float(text: str) -> float:
    if len(text) > MAX_DIGITS:
        raise InvalidJson(f"The request body has a number of more than {MAX_DIGITS} digits.")
    value = float(text)
    if not math.isfinite(value):
        raise InvalidJson("The request body has a number that is out of range.")
    return value


_decode = msgspec.json.Decoder(Members).decode
_decode_many_floats = msgspec.json.Decoder(Members, float_hook=_float).decode
encode = msgspec.json.Encoder().encode
"""A value as JSON, the same bytes for the same value."""


def decode(body: bytes) -> Members:
    """The members of the object that `body` is.

    Raises `InvalidJson` when it is not one JSON value in UTF-8 or holds too much, `InvalidRequest` when that is no
    object. A name that is given twice is not noticed here: see `check_names`.
    """
    try:
        if len(body) <= _SLOW_FLOATS_BYTES:
            return _decode(body)
        check_size(body)
        return _decode_many_floats(body)
    except msgspec.ValidationError as error:
        raise _not_object(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidJson(_not_json(body, error)) from None
    except RecursionError:
        raise InvalidJson("The request body is nested too deeply.") from None


def check_names(body: bytes, canonical: bytes) -> None:
    r"""Refuse a name that is given twice in one object. `canonical` is what was read of `body`, encoded.

    When both are the same but for white space, nothing was dropped. Else colons tell: each pair of an object has one
    outside of strings, and one inside a string stands as itself in both, unless the client wrote it as `\u003a`. So
    the same number of colons means that no pair was dropped. Raises `InvalidJson`.
    """
    if canonical == body or canonical == msgspec.json.format(body, indent=-1):
        return
    if body.count(b":") == canonical.count(b":") and not (
        b"\\u003" in body and (b"\\u003a" in body or b"\\u003A" in body)
    ):
        return
    try:
        json.loads(body, object_pairs_hook=_unique)
    except (RecursionError, ValueError):  # in a value that was dropped: the standard library has lower bounds
        raise InvalidJson("The request body has a key twice in one object.") from None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = set()
    for name, _ in pairs:
        if name in names:
            shown = name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…"
            raise InvalidJson(f"The request body has the key {shown!r} twice in one object.", param=shown)
        names.add(name)


_SHOWN_CHARACTERS = 64


def _not_object(text: str) -> InvalidRequest:
    """What is JSON, but not an object or with a number that no engine could hold."""
    if "out of range" in text:
        return InvalidJson("The request body has a number that is out of range.")
    return of_types(text)


def _not_json(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The request body is empty: expected a JSON object."
    try:
        body.decode()
    except UnicodeDecodeError as cause:
        return f"The request body is not UTF-8 (byte {cause.start})."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The request body begins with a byte order mark: send UTF-8 without one."
    return f"The request body is not valid JSON: {error}."
