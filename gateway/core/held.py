"""A request in quarantine, as it is shown."""

from __future__ import annotations

from typing import NamedTuple


class Held(NamedTuple):
    """One request. `id` is its keyed digest, in hex."""

    id: str
    seconds_left: float
    replicas: tuple[str, ...]
