"""How much memory this process may use, and how much of it it does."""

from __future__ import annotations

import os
from pathlib import Path

HELD_SHARE = 8
"""Requests and answers that are held may take one part in so many: each is held up to four times for a moment, as it
came, as it was read, as it is sent, and in a socket's buffer."""
PRESSED = 0.85
"""Share of the limit from which connections are not kept idle (Envoy sheds load from there in two steps as well)."""
FULL = 0.92
"""Share of the limit from which no new request is taken."""
_UNLIMITED = 1 << 50
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def limit_bytes(root: Path = Path("/")) -> int:
    """The least of the machine's memory and the limits of this process's control groups, version 1 and 2."""
    return min([_physical_bytes(), *_group_limits(root)])


def resident_bytes() -> int:
    """What this process has in memory now."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - twice a second, for as long as the process lives
        return int(file.read().split()[1]) * _PAGE_BYTES


def _physical_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES


def _group_limits(root: Path) -> list[int]:
    """The limits of the groups that `/proc/self/cgroup` names, and of all above them."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return []
    mount = root / "sys/fs/cgroup"
    limits = []
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top, name = mount, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mount / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        limits += [_limit(each / name) for each in (group, *group.parents) if each.is_relative_to(top)]
    return [limit for limit in limits if limit < _UNLIMITED]


def _limit(file: Path) -> int:
    try:
        text = file.read_text("ascii").strip()
    except OSError:  # no such group in this container's view of them
        return _UNLIMITED
    return int(text) if text.isdecimal() else _UNLIMITED
