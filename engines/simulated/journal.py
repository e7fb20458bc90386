"""What reached the engine and how it ended: the witness of every test that says "nothing reached an engine"."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

KEPT_BODY_BYTES = 16_384
_HEADERS_KEPT = frozenset(
    {b"authorization", b"content-type", b"x-request-id", b"user-agent", b"host", b"accept", b"traceparent",
     b"x-vllm-priority", b"x-session-id", b"x-data-parallel-rank", b"x-sim-script", b"accept-encoding", b"cookie",
     b"connection", b"transfer-encoding", b"content-length", b"openai-organization", b"x-forwarded-for"}
)  # fmt: skip

End = Literal["open", "finished", "aborted", "fault", "refused", "stopped"]


class Record:
    """One request as the engine saw it. Times are monotonic seconds of the event loop."""

    __slots__ = (
        "arrived_at",
        "body",
        "end",
        "ended_at",
        "events_sent",
        "fault",
        "first_byte_at",
        "headers",
        "id",
        "method",
        "model",
        "path",
        "request_id",
        "status",
        "stream",
        "tokens_sent",
    )  # fmt: skip

    def __init__(
        self, number: int, method: str, path: str, headers: dict[bytes, bytes], body: bytes, arrived_at: float
    ) -> None:
        self.id = number
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.arrived_at = arrived_at
        self.request_id: str | None = None
        self.model: str | None = None
        self.stream = False
        self.status: int | None = None
        self.events_sent = 0
        self.tokens_sent = 0
        self.end: End = "open"
        self.fault: str | None = None
        self.first_byte_at: float | None = None
        self.ended_at: float | None = None

    def __repr__(self) -> str:
        return f"<{self.method} {self.path} {self.request_id} {self.status} {self.end} {self.tokens_sent} tokens>"

    def close(self, end: End, at: float) -> None:
        """Note how it ended; only the first end counts."""
        if self.end == "open":
            self.end = end
            self.ended_at = at

    def as_json(self) -> dict[str, Any]:
        """Give the record for `GET /sim/log`; a body above the kept size by its hash alone."""
        told = {name: getattr(self, name) for name in self.__slots__ if name not in {"body", "headers"}}
        told["headers"] = {
            k.decode("latin-1"): v.decode("latin-1") for k, v in self.headers.items() if k in _HEADERS_KEPT
        }
        told["body_bytes"] = len(self.body)
        told["body_sha256"] = hashlib.sha256(self.body).hexdigest()
        told["body"] = self.body.decode("utf-8", "replace") if len(self.body) <= KEPT_BODY_BYTES else None
        return told


class Journal:
    """The latest records, oldest first. `dropped` says how many older ones are gone."""

    def __init__(self, capacity: int) -> None:
        self._records: deque[Record] = deque(maxlen=capacity)
        self.total = 0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __getitem__(self, index: int) -> Record:
        return self._records[index]

    def __repr__(self) -> str:
        return f"<Journal: {len(self)} records, {self.dropped} dropped>"

    @property
    def dropped(self) -> int:
        """Records that had to make room."""
        return self.total - len(self._records)

    def open(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes, arrived_at: float
    ) -> Record:
        """Begin a record."""
        self.total += 1
        record = Record(self.total, method, path, headers, body, arrived_at)
        self._records.append(record)
        return record

    def clear(self) -> None:
        """Forget everything."""
        self._records.clear()
        self.total = 0
