"""The two generation routes: from a body to a `Generation` that runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engines.simulated import asks, refusals
from engines.simulated.answers import Answer, compose
from engines.simulated.batch import Batch
from engines.simulated.faults import wire_for
from engines.simulated.frames import ChatFrames, CompletionFrames
from engines.simulated.generation import Generation
from engines.simulated.metering import Metering
from engines.simulated.options import Options
from engines.simulated.script import FaultKind, FaultPlan, Script
from engines.simulated.visit import Visit, World

_MEMO_ENTRIES = 256
_MEMO_BODY_BYTES = 65_536
_LOAD_FORMATS = frozenset({b"JSON", b"json"})


@dataclass(slots=True)
class Known:
    """A body that was read, and what was last answered to it."""

    ask: asks.Ask
    model: str | None
    answered_under: Script | None = None
    answers: list[Answer] = field(default_factory=list)


class Generator:
    """Starts generations and knows those under way. `script` gives the server's script of the moment."""

    def __init__(
        self, options: Options, world: World, batch: Batch, metering: Metering, script: Callable[[], Script]
    ) -> None:
        self.script = script
        self.live: set[Generation] = set()
        self.is_draining = False
        self.on_idle: Callable[[], None] | None = None
        self._options = options
        self._world = world
        self._batch = batch
        self._metering = metering
        self._memo: dict[tuple[bytes, bytes | None, bytes], Known] = {}

    def fail_all(self, message: str) -> None:
        """Answer everything under way with an error, as when the engine's core is gone."""
        for generation in tuple(self.live):
            generation.fail(refusals.broken(message))

    def chat(self, visit: Visit) -> None:
        """Answer a chat completion. Raises `Refused` and `Unreadable`."""
        self._generate(visit, self._known(visit, asks.read_chat), "chatcmpl")

    def completion(self, visit: Visit) -> None:
        """Answer a completion. Raises `Refused` and `Unreadable`."""
        self._generate(visit, self._known(visit, asks.read_completion), "cmpl")

    def _known(self, visit: Visit, read: Callable[[Any, Options], asks.Ask]) -> Known:
        """Read a body, or remember that the same bytes were read before: load comes in equal requests."""
        request = visit.request
        key = (request.target, request.headers.get(b"content-type"), request.body)
        known = self._memo.get(key)
        if known is None:
            raw = visit.json()
            model = raw.get("model") if isinstance(raw, dict) else None
            visit.record.model = model if isinstance(model, str) else None
            known = Known(read(raw, self._options), visit.record.model)
            if len(request.body) <= _MEMO_BODY_BYTES:
                if len(self._memo) >= _MEMO_ENTRIES:
                    self._memo.clear()
                self._memo[key] = known
        visit.record.model = known.model
        return known

    def _generate(self, visit: Visit, known: Known, prefix: str) -> None:
        ask = known.ask
        if self.is_draining:
            raise refusals.broken(refusals.DRAINING_MESSAGE)
        visit.record.stream = ask.stream
        if visit.fault is not None and visit.fault.kind is FaultKind.QUEUE_FULL:
            self._refuse_in_stream(visit, ask)
            return
        self._check_queue(len(ask.prompts) * ask.n)
        script = self._script_for(visit, ask)
        request_id = visit.record.request_id
        if request_id is None:
            request_id = visit.record.request_id = f"{self._world.rng.getrandbits(64):016x}"
        answers = self._answers(known, script)
        generation = Generation(
            ask,
            self._frames(ask, f"{prefix}-{request_id}"),
            answers,
            wire=visit.wire,
            record=visit.record,
            batch=self._batch,
            clock=self._world.timers.time,
            ended=self._ended,
            extra_head=self._extra_head(visit, request_id, ask),
        )
        self.live.add(generation)
        visit.connection.behind = generation
        generation.start(script, visit.fault.factor if visit.fault is not None else 1.0)

    def _answers(self, known: Known, script: Script) -> list[Answer]:
        """Give what is answered: the same ask under the same script has the same answers."""
        if known.answered_under is script:
            return known.answers
        ask = known.ask
        known.answered_under = script
        known.answers = [
            compose(ask, script, index, self._options.max_model_len - ask.prompt_tokens[index // ask.n])
            for index in range(len(ask.prompts) * ask.n)
        ]
        return known.answers

    def _refuse_in_stream(self, visit: Visit, ask: asks.Ask) -> None:
        """Refuse as in a race that vLLM loses: 200 was sent, the error is the first event."""
        self._metering.rejected["max_num_queued_reqs"] += 1
        visit.record.close("fault", self._world.timers.time())
        if not ask.stream:
            visit.wire.reply(503, refusals.busy().body())
            return
        visit.wire.open()
        visit.wire.event(refusals.busy().event())
        visit.wire.close()

    def _check_queue(self, sequences: int) -> None:
        most = self._options.max_num_queued_reqs
        if most is None:
            return
        room = self._options.max_num_seqs - self._batch.running
        if self._batch.waiting + sequences > most + max(0, room):
            self._metering.rejected["max_num_queued_reqs"] += 1
            raise refusals.busy()

    def _script_for(self, visit: Visit, ask: asks.Ask) -> Script:
        """Lay the request's own script over the server's. A fault in it replaces the server's for this request."""
        told = ask.sim
        header = visit.request.headers.get(b"x-sim-script")
        if header is not None:
            told = header.decode("latin-1")
        if told is None:
            return self.script()
        try:
            changes = msgspec.json.decode(told) if isinstance(told, str) else told
            script = self.script().changed(changes)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise refusals.Refused(400, f"bad script: {error}", param="sim") from error
        if "faults" in changes:
            visit.fault = FaultPlan(script.faults, self._world.rng).take(
                visit.record.path, visit.request.body
            )
            visit.wire = wire_for(visit.connection, visit.record, visit.fault)
            if visit.fault is not None:
                visit.connection.split_bytes = visit.fault.split_bytes
        return script

    def _frames(self, ask: asks.Ask, answer_id: str) -> ChatFrames | CompletionFrames:
        fixed = self._options.fixed_created
        created = int(self._world.wall_clock()) if fixed is None else fixed
        model, force = self._options.names[0], self._options.force_include_usage
        if ask.is_chat:
            has_parser = self._options.has_parser
            return ChatFrames(ask, answer_id, model, created, has_parser=has_parser, force_usage=force)
        return CompletionFrames(ask, answer_id, model, created, force_usage=force)

    def _extra_head(self, visit: Visit, request_id: str, ask: asks.Ask) -> bytes:
        lines = b""
        if self._options.echo_request_id:
            lines += b"x-request-id: %s\r\n" % request_id.encode("latin-1", "replace")
        if not ask.stream and visit.request.headers.get(b"endpoint-load-metrics-format") in _LOAD_FORMATS:
            told = {
                "named_metrics": {
                    "num_requests_waiting": float(self._batch.waiting),
                    "kv_cache_usage_perc": float(self._batch.kv_usage),
                }
            }
            lines += b"endpoint-load-metrics: JSON %s\r\n" % msgspec.json.encode(told)
        return lines

    def _ended(self, generation: Generation) -> None:
        if generation not in self.live:
            return
        self.live.discard(generation)
        if not self.live and self.on_idle is not None:
            self.on_idle()
