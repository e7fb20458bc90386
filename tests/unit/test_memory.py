from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from gateway.memory import limit_bytes, resident_bytes

MIB = 1 << 20


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": f"{512 * MIB}\n"},
        {  # the limit of a group above counts too
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/memory.max": f"{512 * MIB}\n",
        },
        {  # a container sees its own group as the top
            "proc/self/cgroup": "0::/system/x.scope\n",
            "sys/fs/cgroup/memory.max": f"{512 * MIB}\n",
        },
        {
            "proc/self/cgroup": "5:cpu:/c\n4:memory:/m\n",
            "sys/fs/cgroup/memory/m/memory.limit_in_bytes": f"{512 * MIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    ],
    ids=["v2", "above", "container", "v1"],
)
def test_a_control_groups_limit_is_the_limit(tmp_path: Path, files: dict[str, str]) -> None:
    assert limit_bytes(tree(tmp_path, files)) == 512 * MIB


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "garbage\n"},
    ],
    ids=["no groups", "no limit", "max", "garbage"],
)
def test_without_one_the_machines_memory_is(tmp_path: Path, files: dict[str, str]) -> None:
    assert limit_bytes(tree(tmp_path, files)) == limit_bytes(tmp_path / "nothing")


def test_what_is_resident_grows_with_what_is_used() -> None:
    before = resident_bytes()
    block = mmap.mmap(
        -1, 64 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    )  # nothing that was freed before
    block.write(bytes(len(block)))
    grown = resident_bytes() - before
    assert len(block) * 0.9 < grown < len(block) * 1.5
