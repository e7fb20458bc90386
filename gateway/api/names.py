"""Names that a client gives in a query, before a database is asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.errors import InvalidRequest


def narrowed(
    given: Mapping[str, Sequence[str] | None], columns: Mapping[str, str]
) -> dict[str, Sequence[str]]:
    """Column → the names that count, of what is given by parameter. Raises `InvalidRequest`, naming the parameter.

    Postgres takes no NUL in a text, and answers one with an error of its own.
    """
    found: dict[str, Sequence[str]] = {}
    for parameter, names in given.items():
        if any("\0" in name for name in names or ()):
            raise InvalidRequest(f"{parameter}: a name holds no NUL character.", param=parameter)
        if names:
            found[columns.get(parameter, parameter)] = names
    return found
