"""File descriptors: as many as this process may have, and how many connections that leaves room for."""

from __future__ import annotations

import resource

RESERVED = 128
"""For files, logs, listeners and connections to stores."""
PER_CONNECTION = 2
"""A client's connection and the one to an engine."""


def raise_limit() -> int:
    """Take all descriptors that this process is allowed to have; returns how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def room_for(connections: int, descriptors: int) -> int:
    """How many of `connections` there are descriptors for, at least one."""
    return max(1, min(connections, (descriptors - RESERVED) // PER_CONNECTION))
