"""What a starting engine is doing, read from its own log lines, and when it will be done, guessed from last time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

FIRST_PHASE = "importing the engine"
"""What a vLLM process does before its first line: about 12 s of Python imports."""

LAST_PHASE = "answering a first request"

# In the order of a start. The texts are vLLM 0.32's, seen on the CPU; the rows marked GPU are from its source.
_PHASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), phase)
    for pattern, phase in (
        (r"non-default args: ", "reading the model's configuration"),
        (r"[Dd]ownloading|Fetching \d+ files", "downloading the model"),
        (r"Using max model len ", "starting the engine core"),
        (r"EngineCore.*Initializing a V\d LLM engine", "starting the engine's worker"),
        (r"\bworld_size=\d+ rank=", "setting up the device"),
        (r"Starting to load model ", "loading weights"),
        (r"Loading \S+ checkpoint shards: +(?P<percent>\d+)% ", "loading weights"),
        (r"Loading weights took ", "allocating the KV cache"),
        (r"for vLLM's torch\.compile|Compiling a graph for|Dynamo bytecode transform", "compiling"),  # GPU
        (r"KV cache size: ", "warming up"),
        (r"Capturing CUDA graphs?.*?(?P<percent>\d+)%", "capturing CUDA graphs"),  # GPU
        (r"Capturing CUDA graph", "capturing CUDA graphs"),  # GPU
        (r"init engine \(profile, create kv cache, warmup model\) took ", "starting the API server"),
        (r"Application startup complete", LAST_PHASE),
    )
)


class Phases:
    """Follows one start through its phases.

    They only go forward: an engine's processes write at the same time, and a late line of one must not set back what
    another has reached.
    """

    def __init__(self) -> None:
        self._reached = -1

    def hear(self, line: str) -> str | None:
        """What the engine now does, in words, if `line` tells of a new phase or more of this one."""
        for rank, (pattern, phase) in enumerate(_PHASES):
            if rank >= self._reached and (match := pattern.search(line)):
                self._reached = rank
                percent = match.groupdict().get("percent")
                return f"{phase} {percent} %" if percent else phase
        return None


_ERROR = re.compile(r"\b\w*(?:Error|Exception)\b")
_PREFIX = re.compile(r"^\(\w+ pid=\d+\) (?:[A-Z]+ [\d-]+ [\d:]+ \[[^\]]+\] )?")


def last_error(lines: Iterable[str]) -> str | None:
    """The last line that names an error, without the engine's own prefix; `None` when none does.

    The word ERROR alone tells nothing: vLLM writes it, with tracebacks, when it is stopped in good health.
    """
    named = [_PREFIX.sub("", line).strip() for line in lines if _ERROR.search(line)]
    return named[-1] if named else None


class StartTimes:
    """How long starts took, remembered in a small file so that the next one can say what is usual.

    A file that cannot be read is as good as none: the figures only decorate a progress line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def usual_s(self, key: str) -> float | None:
        """Seconds that the last successful start of `key` took; `None` when unknown."""
        return self._load().get(key)

    def remember(self, key: str, seconds: float) -> None:
        """Note a successful start. Raises `OSError` when the file cannot be written."""
        times = self._load() | {key: round(seconds, 1)}
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(times))
        temporary.replace(self._path)

    def _load(self) -> dict[str, float]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, float])
        except (FileNotFoundError, msgspec.DecodeError):
            return {}


def progress_line(worker: str, status: str, elapsed_s: float, phase: str, usual_s: float | None) -> str:
    """One line of progress: `tiny-0  starting  12 s  loading weights (usually ready after 38 s)`."""
    usual = f" (usually ready after {usual_s:.0f} s)" if usual_s else ""
    return f"{worker}  {status}  {elapsed_s:.0f} s  {phase}{usual}"
