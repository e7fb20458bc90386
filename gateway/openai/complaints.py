"""What is wrong with a field, in our own words, the field named."""

from __future__ import annotations

import re

from gateway.core.errors import InvalidRequest

_LOCATION = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]+)`")


def of_types(text: str) -> InvalidRequest:
    """Turn msgspec's words ("Expected `float`, got `str` - at `$.temperature`") into ours."""
    found = _LOCATION.search(text)
    path = found["path"] if found else ""
    what = text[: found.start()] if found else text
    missing = _MISSING.match(what)
    if missing:
        param = f"{path}.{missing['field']}".lstrip(".")
        return InvalidRequest(f"Missing required field: {param}.", param=param)
    what = what.replace("`", "'").replace("Expected", "expected", 1)
    if not path:
        return InvalidRequest(f"Invalid request body: {what}.")
    return invalid(path, what)


def invalid(param: str, what: str) -> InvalidRequest:
    """The refusal of a value."""
    return InvalidRequest(f"Invalid value for {param}: {what}.", param=param)


def too_many(param: str, found: int, most: int, of: str = "") -> InvalidRequest:
    """The refusal of a value above its cap; `of` says what is counted."""
    return invalid(param, f"{found}{of and ' ' + of} where at most {most} are allowed")
