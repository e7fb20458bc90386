"""Which sequences are generated now, which wait, and the steps of the running ones.

A sequence is one choice of one request, as in vLLM. Nothing here knows HTTP or bytes.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol

from engines.simulated.answers import Answer
from engines.simulated.metering import Course, Metering
from engines.simulated.options import KV_CACHE_TOKENS
from engines.simulated.script import Script
from engines.simulated.ticker import Ticker, Timers


class Receiver(Protocol):
    """Who gets a sequence's tokens."""

    def on_tokens(self, sequence: Sequence, start: int, end: int) -> None:
        """Take tokens `start` to `end`; the last ones when `end` is the answer's length."""


class Sequence:
    """One choice on its way."""

    __slots__ = (
        "admitted_at", "answer", "arrived_at", "due", "factor", "first_at", "first_size", "index", "interval",
        "is_over", "is_parked", "last_at", "position", "prompt_tokens", "receiver", "script",
    )  # fmt: skip

    def __init__(
        self,
        receiver: Receiver,
        index: int,
        answer: Answer,
        *,
        prompt_tokens: int,
        script: Script,
        first_size: int,
        interval: int,
        factor: float,
        arrived_at: float,
    ) -> None:
        self.receiver = receiver
        self.index = index
        self.answer = answer
        self.prompt_tokens = prompt_tokens
        self.script = script
        self.first_size = first_size
        self.interval = interval
        self.factor = factor
        self.arrived_at = arrived_at
        self.position = 0
        self.admitted_at: float | None = None
        self.first_at = self.last_at = self.due = 0.0
        self.is_over = False
        self.is_parked = False


class Batch:
    """The running and the waiting. Times in seconds."""

    def __init__(self, timers: Timers, metering: Metering, rng: random.Random, *, max_running: int) -> None:
        self._timers = timers
        self._metering = metering
        self._rng = rng
        self._max_running = max_running
        self._waiting: deque[Sequence] = deque()
        self._ticker: Ticker[Sequence] = Ticker(timers, self._step)
        self.running = 0
        self.kv_tokens = 0

    def __repr__(self) -> str:
        return f"<Batch: {self.running} running, {self.waiting} waiting>"

    @property
    def waiting(self) -> int:
        """Sequences that wait for room."""
        return len(self._waiting)

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that is held, 0 to 1."""
        return self.kv_tokens / KV_CACHE_TOKENS

    def submit(self, sequence: Sequence) -> None:
        """Run a sequence now or when there is room. `abort` takes it back."""
        self._waiting.append(sequence)
        self._admit()

    def abort(self, sequence: Sequence) -> None:
        """End a sequence at once; its room is free when this returns. Nothing happens to one that is over."""
        if sequence.is_over:
            return
        if sequence.admitted_at is None:
            sequence.is_over = True
            self._waiting.remove(sequence)
            return
        self._leave(sequence)
        self._admit()

    def park(self, sequence: Sequence) -> None:
        """Stop a sequence where it is; it keeps its room until it is aborted."""
        sequence.is_parked = True

    def _admit(self) -> None:
        while self._waiting and self.running < self._max_running:
            sequence = self._waiting.popleft()
            now = self._timers.time()
            sequence.admitted_at = now
            self.running += 1
            self.kv_tokens += sequence.prompt_tokens
            self._metering.prompt_tokens += sequence.prompt_tokens
            self._metering.queue.observe(now - sequence.arrived_at)
            self._schedule(sequence, now, sequence.script.ttft_ms)

    def _schedule(self, sequence: Sequence, since: float, wait_ms: float) -> None:
        if wait_ms <= 0:
            self._ticker.soon(sequence)
            return
        jitter = sequence.script.jitter
        if jitter:
            wait_ms *= 1 + jitter * (2 * self._rng.random() - 1)
        sequence.due = since + wait_ms * sequence.factor / 1000
        self._ticker.add(sequence.due, sequence)

    def _step(self, due: list[Sequence], now: float) -> None:
        made = 0
        for sequence in due:
            if not (sequence.is_over or sequence.is_parked):
                made += self._advance(sequence, now)
        if made:
            self._metering.generation_tokens += made
            self._metering.iteration_tokens.observe(made)

    def _advance(self, sequence: Sequence, now: float) -> int:
        """Give a sequence its next tokens: the first ones, then as many at a time as make up one event."""
        start = sequence.position
        length = len(sequence.answer.pieces)
        if start == 0:
            size = sequence.first_size
            sequence.first_at = now
            self._metering.ttft.observe(now - sequence.arrived_at)
        else:
            size = sequence.interval
            for _ in range(size):
                self._metering.itl.observe((now - sequence.last_at) / size)
        end = min(start + size, length)
        sequence.position = end
        sequence.last_at = now
        self.kv_tokens += end - start
        if end == length:
            self._finish(sequence, now)
        else:
            wait_ms = sequence.script.itl_ms * min(sequence.interval, length - end)
            late = wait_ms <= 0 or now - sequence.due > 1
            self._schedule(sequence, now if late or start == 0 else sequence.due, wait_ms)
        sequence.receiver.on_tokens(sequence, start, end)
        return end - start

    def _finish(self, sequence: Sequence, now: float) -> None:
        self._leave(sequence)
        admitted = sequence.arrived_at if sequence.admitted_at is None else sequence.admitted_at
        self._metering.ended(
            Course(
                sequence.answer.finish_reason,
                sequence.prompt_tokens,
                sequence.position,
                now - sequence.arrived_at,
                now - admitted,
                sequence.first_at - admitted,
                now - sequence.first_at,
            )
        )
        self._admit()

    def _leave(self, sequence: Sequence) -> None:
        sequence.is_over = True
        self.running -= 1
        self.kv_tokens -= sequence.prompt_tokens + sequence.position
