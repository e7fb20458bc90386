"""One request being answered: takes tokens from the batch, gives frames to the wire, ends exactly once."""

from __future__ import annotations

from collections.abc import Callable

from engines.simulated import refusals
from engines.simulated.answers import Answer
from engines.simulated.asks import Ask
from engines.simulated.batch import Batch, Sequence
from engines.simulated.frames import ChatFrames, CompletionFrames
from engines.simulated.journal import End, Record
from engines.simulated.script import Script
from engines.simulated.wires import Wire


class Generation:
    """The sequences of one request and where their tokens go."""

    def __init__(
        self,
        ask: Ask,
        frames: ChatFrames | CompletionFrames,
        answers: list[Answer],
        *,
        wire: Wire,
        record: Record,
        batch: Batch,
        clock: Callable[[], float],
        ended: Callable[[Generation], None],
        extra_head: bytes = b"",
    ) -> None:
        self._ask = ask
        self._frames = frames
        self._answers = answers
        self._wire = wire
        self._record = record
        self._batch = batch
        self._clock = clock
        self._ended = ended
        self._extra_head = extra_head
        self._sequences: list[Sequence] = []
        self._left = len(answers)
        self._is_over = False
        self._is_stalled = False
        self._has_opened = False
        self._is_writable = True
        self._kept_back: dict[int, tuple[int, int]] = {}

    def start(self, script: Script, factor: float) -> None:
        """Send the head of a stream and queue every choice."""
        if self._ask.stream:
            self._wire.open(self._extra_head)
        if self._is_over:
            return
        at_once = not self._ask.stream and script.itl_ms <= 0
        for index, answer in enumerate(self._answers):
            size = len(answer.pieces) if at_once else 1
            sequence = Sequence(
                self,
                index,
                answer,
                prompt_tokens=self._ask.prompt_tokens[index // self._ask.n],
                script=script,
                first_size=size,
                interval=max(size, script.tokens_per_chunk, self._ask.interval if self._ask.stream else 1),
                factor=factor,
                arrived_at=self._record.arrived_at,
            )
            self._sequences.append(sequence)
        for sequence in self._sequences:
            self._batch.submit(sequence)
            if self._is_stalled:
                self._batch.park(sequence)

    def on_tokens(self, sequence: Sequence, start: int, end: int) -> None:
        """Send tokens, or keep them for a client that reads slowly: they then come as one event."""
        record = self._record
        record.tokens_sent += end - start
        if record.first_byte_at is None:
            record.first_byte_at = self._clock()
        if self._ask.stream:
            if self._is_writable:
                self._send(sequence.index, start, end)
            else:
                kept = self._kept_back.get(sequence.index, (start, end))
                self._kept_back[sequence.index] = (kept[0], end)
        if end == len(sequence.answer.pieces):
            self._left -= 1
            if self._left == 0 and self._is_writable and not self._is_over:
                self._finish()

    def _send(self, index: int, start: int, end: int) -> None:
        wire = self._wire
        if not self._has_opened:
            self._has_opened = True
            for event in self._frames.opening():
                wire.event(event)
        for event in self._frames.step(index, self._answers[index], start, end):
            if self._is_over:
                return
            wire.event(event)

    def on_writable(self, is_writable: bool) -> None:
        """Go on sending, or keep back."""
        self._is_writable = is_writable
        if not is_writable or self._is_over:
            return
        kept, self._kept_back = self._kept_back, {}
        for index, (start, end) in kept.items():
            self._send(index, start, end)
        if self._left == 0 and not self._is_over:
            self._finish()

    def _finish(self) -> None:
        self._is_over = True
        if self._ask.stream:
            if self._frames.include_usage:
                self._wire.event(self._frames.usage_event(sum(len(a.pieces) for a in self._answers)))
            self._wire.close()
        else:
            self._wire.reply(200, self._frames.whole(self._answers), extra=self._extra_head)
        if not self._is_stalled:
            self._close("finished")

    def on_gone(self, *, by_fault: bool) -> None:
        """Stop: nobody will read the rest. The room in the batch is free when this returns."""
        self._end("fault" if by_fault else "aborted")

    def on_stall(self) -> None:
        """Stop and hold the room until the client goes."""
        self._is_stalled = True
        for sequence in self._sequences:
            self._batch.park(sequence)

    def fail(self, refusal: refusals.Refused) -> None:
        """End with an error, as an engine does whose core is gone: an event and `[DONE]`, or a reply."""
        if self._is_over:
            return
        self._end("stopped")
        if self._ask.stream:
            self._wire.event(refusal.event())
            self._wire.close()
        else:
            self._wire.reply(refusal.status, refusal.body())

    def _end(self, end: End) -> None:
        self._is_over = True
        for sequence in self._sequences:
            self._batch.abort(sequence)
        self._close(end)

    def _close(self, end: End) -> None:
        """Note the end; only the first one counts."""
        self._record.close(end, self._clock())
        self._ended(self)
