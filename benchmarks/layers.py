"""Whose time a sample of a gateway's stack is: the kernel's, a library's, or one of our own modules'.

Stacks are lines as py-spy's raw format has them: frames from the outermost in, joined by semicolons, then the number of
samples. Knows nothing of how they were taken.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

OTHER = "other"
COLLECTOR = "garbage collector"
POLL = "kernel: poll for events"
_MAIN = "MainThread"
_FRAME = re.compile(r"(?P<name>.*) \((?P<file>.*?)(?::\d+)?\)")
_THREAD = re.compile(r"thread \([^)]*\): (?P<name>.*)")
_OURS = re.compile(r"(?:^|/)(?P<path>(?:gateway|config|engines)/[\w/]+\.py)$")

_CALLS: Mapping[str, str] = {
    **dict.fromkeys(("write", "writev", "send", "sendto", "sendmsg"), "kernel: socket write"),
    **dict.fromkeys(("read", "readv", "recv", "recvfrom", "recvmsg"), "kernel: socket read"),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "epoll_pwait2"), POLL),
    **dict.fromkeys(
        ("accept4", "close", "connect", "epoll_ctl", "getsockname", "setsockopt", "shutdown", "socket"),
        "kernel: other calls",
    ),
}
"""The C library's wrappers of what goes to the kernel."""
_LIBRARIES: Mapping[str, str] = {
    "/uvloop/": "uvloop, libuv",
    "/libuv": "uvloop, libuv",
    "/httptools/": "httptools, llhttp",
    "/llhttp/": "httptools, llhttp",
    "/msgspec/": "msgspec",
    "/uvicorn/": "uvicorn",
    "/fastapi/": "FastAPI, Starlette",
    "/starlette/": "FastAPI, Starlette",
    "/prometheus_client/": "prometheus_client",
    "/asyncio/": "asyncio",
    "/logging/": "logging",
}
"""Part of a file's path → layer. The compiled ones name their sources by the path that they were built under."""
_COLLECTING = ("gc_collect_", "_PyGC_", "PyGC_")
_WAITING = frozenset(
    {
        "PyThread_acquire_lock_timed",
        "clock_nanosleep",
        "pthread_cond_timedwait",
        "pthread_cond_wait",
        "sem_clockwait",
        "sem_wait",
        "time_sleep",
    }
)
"""Where a thread sleeps or waits for a lock. The samples of the main thread are its own in any case: it does neither."""


@dataclass(frozen=True, slots=True)
class _Frame:
    name: str
    file: str


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Layer → its percentage of the samples, the largest first. What only waits is left out."""
    counted: Counter[str] = Counter()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if layer := layer_of(stack.split(";")):
            counted[layer] += int(count)
    whole = counted.total()
    return {layer: 100 * count / whole for layer, count in counted.most_common()}


def samples(lines: Iterable[str]) -> int:
    """How many samples did not only wait."""
    split = (line.strip().rpartition(" ") for line in lines)
    return sum(int(count) for stack, _, count in split if layer_of(stack.split(";")))


def layer_of(stack: Sequence[str]) -> str | None:
    """The layer that a stack's innermost frames belong to; `None`: a thread that waits.

    C code without a layer of its own (the interpreter, allocation, hashing) is that of whoever called it.
    """
    thread = _THREAD.fullmatch(stack[0])
    frames = [_frame(text) for text in reversed(stack)]
    if thread is not None and thread["name"] != _MAIN:
        return None if _is_waiting(frames) else f"thread: {thread['name']}"
    if any(frame.name.startswith(_COLLECTING) for frame in frames):
        return COLLECTOR
    return next((layer for frame in frames if (layer := _layer(frame))), OTHER)


def table(columns: Mapping[str, Mapping[str, float]], *, least: float) -> Iterator[str]:
    """A Markdown table of several loads; layers under `least` percent in all of them are one row."""
    heads = list(columns)
    totals: Counter[str] = Counter()
    for found in columns.values():
        totals.update(found)
    big = [
        name for name, _ in totals.most_common() if max(c.get(name, 0.0) for c in columns.values()) >= least
    ]
    rows = [(name, [found.get(name, 0.0) for found in columns.values()]) for name in big]
    rest = [sum(share for name, share in found.items() if name not in big) for found in columns.values()]
    if any(rest):
        rows.append((f"all others, under {least:g} % each", rest))
    width = max(len(name) for name, _ in [("layer", []), *rows])
    yield f"| {'layer':<{width}} | {' | '.join(heads)} |"
    yield f"|{'-' * (width + 2)}|{'|'.join('-' * (len(head) + 1) + ':' for head in heads)}|"
    for name, values in rows:
        cells = [f"{value:>{len(head)}.1f}" for head, value in zip(heads, values, strict=True)]
        yield f"| {name:<{width}} | {' | '.join(cells)} |"


def _frame(text: str) -> _Frame:
    found = _FRAME.fullmatch(text)
    return _Frame(text, "") if found is None else _Frame(found["name"], found["file"])


def _layer(frame: _Frame) -> str | None:
    if "/libc" in frame.file or "/libpthread" in frame.file:
        return _CALLS.get(frame.name)
    ours = _OURS.search(frame.file)
    if ours is not None and "/site-packages/" not in frame.file:
        return ours["path"]
    return next((layer for part, layer in _LIBRARIES.items() if part in frame.file), None)


def _is_waiting(frames: Sequence[_Frame]) -> bool:
    """Whether any of the C frames inside the innermost Python frame is one in which a thread waits."""
    for frame in frames:
        if frame.file.endswith(".py"):
            return False
        if frame.name in _WAITING:
            return True
    return False
