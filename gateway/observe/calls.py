"""The log line of each call."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from gateway.core.outcome import End
from gateway.observe.logs import CallLine, LineWriter, Render


class CallLog:
    """One line for each call that ends."""

    def __init__(
        self, writer: LineWriter, render: Render, *, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._writer = writer
        self._render = render
        self._wall_clock = wall_clock
        self._second = -1
        self._second_text = ""

    def on_end(self, end: End) -> None:
        """Write the line of a call that is over."""
        usage = end.usage
        principal = end.principal
        self._writer.write(
            self._render(
                CallLine(
                    self._timestamp(),
                    "info",
                    "call",
                    end.request_id,
                    end.operation,
                    end.model,
                    end.outcome,
                    end.status,
                    end.code,
                    None if principal is None else principal.tenant,
                    None if principal is None else principal.key_id,
                    end.client,
                    end.stream,
                    end.replica,
                    end.attempts,
                    _since(end.arrived, end.dispatched),
                    _since(end.arrived, end.first_content),
                    _since(end.arrived, end.ended),
                    None if usage is None else usage.prompt_tokens,
                    None if usage is None else usage.cached_tokens,
                    None if usage is None else usage.completion_tokens,
                )
            )
        )

    def _timestamp(self) -> str:
        """The time now, to the millisecond. What does not change within a second is written once in it."""
        now = self._wall_clock()
        second = int(now)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        return f"{self._second_text}.{int((now - second) * 1000):03d}+00:00"


def _since(start: float, end: float | None) -> float | None:
    """Milliseconds, to a tenth. Not by `round`, which goes through decimal text: 0.5 µs a call."""
    return None if end is None else int((end - start) * 10_000 + 0.5) / 10
