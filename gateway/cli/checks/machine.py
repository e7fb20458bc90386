"""This machine: Python, files, clock, the data folder and its disk, ports."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.cli.checks.finding import Finding, Level
from gateway.cli.setting import Setting

LEAST_PYTHON: Final = (3, 11)
LEAST_DISK_BYTES: Final = 1 << 30
LEAST_FILES: Final = 1024
GOOD_FILES: Final = 8192
"""Two descriptors a call, and some thousand calls."""
_CLOCK_UNSYNCHRONISED: Final = 5
"""`TIME_ERROR` of adjtimex(2)."""


def python(_: Setting) -> Iterator[Finding]:
    """Its version, on a system that we run on."""
    found = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    enough = sys.version_info >= LEAST_PYTHON and sys.platform == "linux"
    yield Finding(
        "versions", Level.OK if enough else Level.FAIL, found, None if enough else "python3 --version"
    )


def files(_: Setting) -> Iterator[Finding]:
    """How many may be open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    level = Level.FAIL if soft < LEAST_FILES else Level.WARN if soft < GOOD_FILES else Level.OK
    reach = GOOD_FILES if hard == resource.RLIM_INFINITY else min(hard, GOOD_FILES)
    yield Finding("open files", level, f"limit {soft}", None if level is Level.OK else f"ulimit -n {reach}")


def clock(_: Setting) -> Iterator[Finding]:
    """Whether it can be right."""
    built = Path(__file__).stat().st_mtime
    if time.time() < built - 86_400:
        yield Finding("clock", Level.FAIL, "before this program was installed", "timedatectl set-ntp true")
        return
    # struct timex has 208 bytes on 64-bit Linux; modes = 0 only reads.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(208))
    if state == _CLOCK_UNSYNCHRONISED:
        yield Finding("clock", Level.WARN, "not synchronised by the kernel", "timedatectl status")
    else:
        yield Finding("clock", Level.OK, "plausible" if state < 0 else "synchronised")


def data_folder(setting: Setting) -> Iterator[Finding]:
    """Whose it is, and how much room there is."""
    data = setting.paths.data
    there = next(folder for folder in (data, *data.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding("data folder", Level.FAIL, f"{there} cannot be written by this user", f"ls -ld {there}")
        return
    is_open = there == data and data.stat().st_mode & 0o077
    yield Finding(
        "data folder",
        Level.WARN if is_open else Level.OK,
        f"{data}, open to others"
        if is_open
        else str(data)
        if there == data
        else f"{data}, made at the first start",
        f"chmod 700 {data}" if is_open else None,
    )
    free = shutil.disk_usage(there).free
    yield Finding(
        "disk",
        Level.OK if free >= LEAST_DISK_BYTES else Level.FAIL,
        f"{free / (1 << 30):.1f} GiB free",
        None if free >= LEAST_DISK_BYTES else f"df -h {there}",
    )


def ports(setting: Setting) -> Iterator[Finding]:
    """Whether the addresses can be had, or who has them."""
    from gateway.cli.instance import read_record, refuse_taken, taken
    from gateway.listen import ListenError

    record = read_record(setting.paths.run, "gateway")
    if record is not None:
        yield Finding("API address", Level.OK, f"{record.url}, a gateway runs here: process {record.pid}")
        yield Finding("admin address", Level.OK, record.admin_url)
        return
    for name, address in (
        ("API address", setting.config.server.listen),
        ("admin address", setting.config.server.admin_listen),
    ):
        try:
            refuse_taken([address])
        except ListenError as error:
            yield Finding(
                name, Level.FAIL, taken(error).cause, f"ss -ltnp 'sport = :{address.rpartition(':')[2]}'"
            )
        else:
            yield Finding(name, Level.OK, f"{address} is free")
