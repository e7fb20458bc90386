"""The contract of the place where rows end up, and the three ways in which it may not take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.ledger.records import Ended


class Away(Exception):
    """The database cannot be had. The text says why; whether what was asked happened is not known."""


class Behind(Exception):
    """The database has an older schema than this program, or none: it has to be migrated first."""


class Refused(Exception):
    """The database does not take values of these rows, and will not the next time. None of them is kept."""


class Kept(NamedTuple):
    """For how many seconds rows stay: single ones, and sums of days. Sums of months stay for ever."""

    single: int
    daily: int


class Rows(Protocol):
    """Where rows end up."""

    def add(self, rows: Sequence[Ended]) -> None:
        """Keep all of `rows`, each once by its id, and count those that were not there yet.

        Raises `Away`, `Behind`, `Refused`.
        """
        ...

    def prune(self, now: float) -> None:
        """Remove what is older than it has to be kept. `now` is in Unix seconds. Raises `Away`, `Behind`."""
        ...

    def close(self) -> None:
        """End the connection; the next call makes another."""
        ...
