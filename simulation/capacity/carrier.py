"""From an Exchange to an engine of the model and back, without HTTP between them.

Stands where the gateway's HTTP client does. Everything is a plain call: what HTTP would cost is the engine's
`request_ms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.core.call import Operation
from gateway.fleet.endpoint import Endpoint
from gateway.openai.operations import CHAT
from gateway.transport import Sending, Sink, Transport
from simulation.capacity.engine import Engine
from simulation.capacity.page import page
from simulation.capacity.sequence import Sequence

if TYPE_CHECKING:
    from simulation.capacity.asked import Asked
    from simulation.world.loop import VirtualLoop

_STREAM = b"text/event-stream; charset=utf-8"
_JSON = b"application/json"
_FIRST = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
)
_MORE = b'data: {"choices":[{"index":0,"delta":{"content":"b"}}]}\n\n'
_LAST = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":%b}\n\ndata: [DONE]\n\n'
)
_WHOLE = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":%b}'
_TOO_LONG = (
    b'{"error":{"message":"The prompt is too long.","type":"BadRequestError","param":null,"code":400}}'
)
_ID_LENGTH = 8
"""Of our request ids; the gateway adds to them what makes them its own."""


class Carrier:
    """Stands for `gateway.transport.http1`. `asked` finds a request by its id."""

    def __init__(self, engines: Mapping[str, Engine], loop: VirtualLoop, asked: Mapping[str, Asked]) -> None:
        self._engines = engines
        self._loop = loop
        self._asked = asked

    def send(
        self,
        endpoint: Endpoint,
        operation: Operation,
        request_id: str,
        body: bytes,  # noqa: ARG002 - the engine knows the prompt
        sink: Sink,
        *,
        fresh: bool,  # noqa: ARG002 - there are no connections
    ) -> Sending:
        """See `Transport.send`. Whatever is no question for an answer is one for the metrics page."""
        if operation is not CHAT:
            return _Looked(self._engines[endpoint.id], self._loop, sink)
        return _Sent(self._engines[endpoint.id], self._loop, self._asked[request_id[:_ID_LENGTH]], sink)

    def forget(self, endpoint: Endpoint) -> None:
        """See `Transport.forget`."""


class _Looked:
    """A metrics page that was asked for."""

    def __init__(self, engine: Engine, loop: VirtualLoop, sink: Sink) -> None:
        self._engine = engine
        self._sink = sink
        self._timer = loop.call_later(engine.speed.request_ms / 1000, self._answer)

    def pause(self) -> None:
        """It comes at once."""

    def resume(self) -> None:
        """See `pause`."""

    def close(self) -> None:
        """See `Sending.close`."""
        self._timer.cancel()

    def _answer(self) -> None:
        self._sink.upstream_head(200, b"text/plain")
        self._sink.upstream_data(page(self._engine), last=True)


class _Sent:
    """One request at an engine."""

    __slots__ = ("_asked", "_engine", "_is_closed", "_is_stream", "_sequence", "_sink")

    def __init__(self, engine: Engine, loop: VirtualLoop, asked: Asked, sink: Sink) -> None:
        self._engine = engine
        self._asked = asked
        self._sink = sink
        self._is_closed = False
        self._is_stream = asked.is_stream
        self._sequence: Sequence | None = None
        loop.call_later(engine.speed.request_ms / 1000, self._arrive)

    def pause(self) -> None:
        """Callers read all that comes."""

    def resume(self) -> None:
        """See `pause`."""

    def close(self) -> None:
        """See `Sending.close`: the engine aborts."""
        if not self._is_closed:
            self._is_closed = True
            if self._sequence is not None:
                self._engine.abort(self._sequence)
                self._account(self._sequence)

    def _arrive(self) -> None:
        if self._is_closed:
            return
        asked, engine = self._asked, self._engine
        if asked.prompt.tokens + asked.output_tokens > engine.speed.max_model_len:
            self._is_closed = True
            self._sink.upstream_head(400, _JSON)
            self._sink.upstream_data(_TOO_LONG, last=True)
            return
        self._sequence = Sequence(asked.prompt, asked.output_tokens, self)
        engine.submit(self._sequence)

    # --- engine.Receiver

    def on_first(self, sequence: Sequence) -> None:
        """Head, role and first content."""
        del sequence
        if self._is_stream and not self._is_closed:
            self._sink.upstream_head(200, _STREAM)
            self._sink.upstream_data(_FIRST, last=False)

    def on_progress(self, sequence: Sequence, made: int) -> None:
        """A sign of life: what was made since comes as one event."""
        del sequence, made
        if self._is_stream and not self._is_closed:
            self._sink.upstream_data(_MORE, last=False)

    def on_done(self, sequence: Sequence) -> None:
        """The rest."""
        if self._is_closed:
            return
        self._is_closed = True
        self._account(sequence)
        usage = _usage(sequence)
        if self._is_stream:
            self._sink.upstream_data(_LAST % usage, last=True)
        else:
            self._sink.upstream_head(200, _JSON)
            self._sink.upstream_data(_WHOLE % usage, last=True)

    def _account(self, sequence: Sequence) -> None:
        asked = self._asked
        asked.answered_tokens = max(asked.answered_tokens, sequence.made)
        asked.cached_tokens += sequence.cached or 0
        asked.worked_tokens += self._engine.worked(sequence)


def _usage(sequence: Sequence) -> bytes:
    prompt, made = sequence.prompt.tokens, sequence.made
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,"prompt_tokens_details":{"cached_tokens":%d}}'
        % (prompt, made, prompt + made, sequence.cached or 0)
    )


_: type[Transport] = Carrier
