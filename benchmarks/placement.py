"""Which core runs what: the gateway alone on one, so that its cost is its own."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Cores of each part; `None`: wherever the kernel puts it."""

    gateway: frozenset[int] | None
    engines: frozenset[int] | None
    client: frozenset[int] | None

    @property
    def is_shared(self) -> bool:
        """Whether the engines and the client have one core between them."""
        return self.engines == self.client

    def __str__(self) -> str:
        if self.gateway is None:
            return "not pinned (one core)"
        if self.is_shared:
            return f"gateway on core {_list(self.gateway)}, engine and client on core {_list(self.client)}"
        return (
            f"gateway on core {_list(self.gateway)}, engines on {_list(self.engines)}, "
            f"client on {_list(self.client)}"
        )


def place(allowed: set[int], engines: int) -> Placement:
    """Divide the cores that this process may use among gateway, client and `engines` engines."""
    cores = sorted(allowed)
    if len(cores) < 2:
        return Placement(None, None, None)
    gateway, client, rest = cores[0], cores[1], cores[2 : 2 + engines]
    return Placement(frozenset({gateway}), frozenset(rest or [client]), frozenset({client}))


def allowed_cores() -> set[int]:
    """The cores that this process may use."""
    return set(os.sched_getaffinity(0))


def _list(cores: frozenset[int] | None) -> str:
    return ", ".join(map(str, sorted(cores or ())))
