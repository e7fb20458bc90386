"""What the simulated engine is told to do: how fast it answers and which faults it shows.

A `Script` is a value. It comes from flags, from `POST /sim/script`, from the header `x-sim-script` or from the body
field `vllm_xargs.sim`; the later of these win. `FaultPlan` is the only live part: it counts which requests a fault
still applies to.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec

GENERATION_PATHS = frozenset({"/v1/chat/completions", "/v1/completions"})


class FaultKind(StrEnum):
    """What goes wrong. The word in parentheses in `Fault` names the fields that a kind reads."""

    DIE = "die"
    HANG = "hang"
    RESET = "reset"
    CLOSE = "close"
    EARLY_END = "early_end"
    STATUS = "status"
    QUEUE_FULL = "queue_full"
    BROKEN_JSON = "broken_json"
    NOT_UTF8 = "not_utf8"
    HTML = "html"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    ERROR_BODY = "error_body"
    ERROR_EVENT = "error_event"
    SLOW = "slow"
    HUGE_LINE = "huge_line"
    ENDLESS = "endless"
    AFTER_DONE = "after_done"
    SHORT_BODY = "short_body"
    SPLIT = "split"
    NO_KEEP_ALIVE = "no_keep_alive"
    STALE = "stale"
    TAMPER = "tamper"


class At(StrEnum):
    """How far a request gets before the fault shows."""

    ARRIVAL = "arrival"  # the request was read, no byte of an answer was written
    HEADERS = "headers"  # the response head of a stream was written, no event
    EVENTS = "events"  # `after_events` events were written; a plain answer: nothing was written


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fault and the requests it applies to.

    `at_byte`, where it is set, places a `reset` or `close` by response bytes, head included. Fields that a kind
    does not read are ignored: `code` (die), `status`, `body`, `headers` (status, error_body), `size_bytes`
    (huge_line), `in_stream` (queue_full), `what` (tamper).
    """

    kind: FaultKind
    at: At = At.EVENTS
    after_events: int = 0
    at_byte: int | None = None
    times: int | None = None
    """Applies to this many requests, then never again; `None`: to all."""
    share: float = 1.0
    """Applies to this fraction of the requests, drawn with the script's seed."""
    path: str | None = None
    """Only requests to this path; `None`: the two generation routes."""
    body_contains: str | None = None
    """Only requests whose body contains this text: a request that poisons its engine."""
    code: int = 1
    status: int = 500
    body: str | None = None
    headers: dict[str, str] = {}
    message: str = "EngineCore encountered an issue. See stack trace (above) for the root cause."
    size_bytes: int = 1 << 21
    in_stream: bool = False
    what: str = "usage_missing"
    """tamper: usage_missing, usage_negative, wrong_model, wrong_id, no_finish_reason, second_done."""
    factor: float = 1.0
    """Times are multiplied by this, with any kind of fault."""
    split_bytes: int = 0
    """Every write is cut into pieces of this size, with any kind of fault; 0: not cut."""


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Pace, content and faults. Times in milliseconds."""

    ttft_ms: float = 0.0
    itl_ms: float = 0.0
    jitter: float = 0.0
    """Share by which each of the two times varies, 0 to 1."""
    tokens: int = 16
    """Length of an answer that nothing else ends, the end token not counted."""
    tokens_per_chunk: int = 1
    multibyte: float = 0.0
    """Share of the words that are not ASCII."""
    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def changed(self, changes: Mapping[str, Any]) -> Script:
        """Give this script with `changes` laid over it.

        Raises `msgspec.ValidationError` for an unknown field, kind or type.
        """
        merged = {**msgspec.to_builtins(self), **msgspec.to_builtins(dict(changes))}
        return msgspec.convert(merged, Script)


class FaultPlan:
    """Decides, request by request, which fault of a script applies."""

    def __init__(self, faults: tuple[Fault, ...], rng: random.Random) -> None:
        self._faults = faults
        self._left = [fault.times for fault in faults]
        self._rng = rng

    def take(self, path: str, body: bytes) -> Fault | None:
        """Give the first fault that applies to this request and count the request against it."""
        for number, fault in enumerate(self._faults):
            left = self._left[number]
            if left == 0 or not self._applies(fault, path, body):
                continue
            if left is not None:
                self._left[number] = left - 1
            return fault
        return None

    def _applies(self, fault: Fault, path: str, body: bytes) -> bool:
        if path not in GENERATION_PATHS if fault.path is None else path != fault.path:
            return False
        if fault.body_contains is not None and fault.body_contains.encode() not in body:
            return False
        return fault.share >= 1.0 or self._rng.random() < fault.share
