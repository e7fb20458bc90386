"""The Exchange: one call's life as a synchronous state machine.

It is told events by the two protocols it stands between and answers with calls on them; it owns no socket, starts no
task, never awaits, and takes time and randomness from its `Proxy`. It owns everything the call holds - the place in the
queue, the reservation, the lease on a replica, the sending - and its one end, `_end`, is the only way they are given back.

The head of the client's answer is held back until STREAMING, or until a whole answer is there: what fails before that
becomes a proper status, or is sent again to another replica.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gateway.admission import Ended, Lease, Ticket
from gateway.core.call import Call, Envelope, Operation, Principal
from gateway.core.errors import (
    ContextTooLong,
    CutShort,
    GatewayError,
    LimitsUnavailable,
    ModelNotFound,
    NoReplica,
    Quarantined,
    QueueFull,
    RequestTimeout,
    StreamInterrupted,
)
from gateway.core.outcome import Attempt, Choice, End, Outcome, Trail, Usage
from gateway.fleet.pool import Pool
from gateway.fleet.replica import STUCK_SECONDS, Replica
from gateway.fleet.routes import Route, Target, session_number
from gateway.ledger import Open
from gateway.openai import answer as answers
from gateway.openai import envelope as envelopes
from gateway.openai import errors
from gateway.openai.sse import COMPLETE, ERROR, GARBAGE, OPEN, Scanner
from gateway.openai.structure import LARGE_BYTES
from gateway.openai.tiers import Echo, acceptable, tier_of, with_priority
from gateway.proxy.aside import Cancellable
from gateway.proxy.client import ABORT, BROKEN, LAST, MORE, Client, Headers
from gateway.proxy.endings import ENDED_BY, FAULT_OF, error_of, exhausted, too_long, unrecorded
from gateway.proxy.fallback import Chain, may_go_on
from gateway.proxy.quarantine import Standing
from gateway.proxy.retry import UNTOUCHED, Decision, Fault, Situation, decide
from gateway.proxy.states import (
    DISPATCHED,
    DONE,
    EARLY,
    FAILED,
    HEAD,
    NEXT,
    OVER,
    PARSING,
    READING,
    RESERVING,
    STREAMING,
    WAITING,
    State,
)
from gateway.ratelimit.limiter import Reserving
from gateway.ratelimit.reservation import Reservation
from gateway.transport import Loss, Sending

if TYPE_CHECKING:
    from gateway.proxy.proxy import Proxy

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 64 * 1024
"""Events before the first content: a role and a few comments. More than this is no answer."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A whole answer is held until it is complete; a longer one must be streamed."""
MOST_ATTEMPTS = 8
"""Former attempts that are remembered, the last ones: a busy engine may turn a call away many times."""
STALE_SECONDS = 1.0
"""How soon after a request a kept connection breaks that its engine had closed before. Later, the engine had the request."""
_LAST_CHUNK_SECONDS = 1.0
"""How long after `[DONE]` the engine may take to end its answer before the client's is ended without it."""
_CLIENT_CLOSED_REQUEST = 499
_OK = 200
_BUSY = frozenset({429, 503})
_CLIENT_FAULTS = frozenset({400, 413, 422})
_EVENT_STREAM = b"text/event-stream"
_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
_UNFINISHED = frozenset({Outcome.CLIENT_GONE, Outcome.EVICTED})
"""Ends for which the engine is not to blame: what it did until then was done for the caller."""
_NO_TOKENS = Usage()
_ANSWERED, _WELL, _UNJUDGED = Outcome.OK, Ended.WELL, Ended.UNJUDGED


class Exchange:
    """One call. `refusal` is why it will not be served, known before its body is there; `None` if it may be."""

    __slots__ = (
        "_arrived",
        "_begin_by",
        "_body",
        "_call",
        "_chain",
        "_choice",
        "_client",
        "_content_type",
        "_deadline",
        "_dispatched_at",
        "_dispatches",
        "_engine_id",
        "_envelope",
        "_failed_by",
        "_first_content",
        "_former",
        "_held",
        "_held_bytes",
        "_last_heard",
        "_lease",
        "_parsed_at",
        "_parsing",
        "_paused_at",
        "_pool",
        "_proxy",
        "_queue_until",
        "_queued_at",
        "_record",
        "_replica_id",
        "_resent",
        "_reservation",
        "_reserving",
        "_rewrite",
        "_scanner",
        "_sending",
        "_size",
        "_status",
        "_steered",
        "_stripped",
        "_ticket",
        "_turned_away",
        "_unsent",
        "_waited",
        "_waits_since",
        "_worked",
        "operation",
        "principal",
        "refusal",
        "request_id",
        "state",
    )

    def __init__(
        self,
        proxy: Proxy,
        client: Client,
        operation: Operation,
        request_id: str,
        engine_id: str,
        principal: Principal | None,
        refusal: GatewayError | None,
    ) -> None:
        self._proxy = proxy
        self._client = client
        self.operation = operation
        self.request_id = request_id
        self._engine_id = engine_id
        self.principal = principal
        self.refusal = refusal
        self.state = READING
        self._arrived = proxy.clock()
        self._deadline = self._begin_by = self._arrived + proxy.timeouts.total
        self._parsing: Cancellable | None = None
        self._envelope: Envelope | None = None
        self._call: Call | None = None
        self._stripped = b""
        self._pool: Pool | None = None
        self._reserving: Reserving | None = None
        self._reservation: Reservation | None = None
        self._ticket: Ticket | None = None
        self._lease: Lease | None = None
        self._sending: Sending | None = None
        self._scanner: Scanner | None = None
        self._rewrite: Callable[[bytes], bytes] | None = None
        self._replica_id: str | None = None
        self._body: list[bytes] = []
        self._held_bytes = 0
        self._dispatches = self._turned_away = self._worked = 0
        self._resent = False
        self._parsed_at: float | None = None
        self._queued_at: float | None = None
        self._waits_since = self._waited = 0.0
        self._dispatched_at: float | None = None
        self._first_content: float | None = None
        self._choice: Choice | None = None
        self._former: tuple[Attempt, ...] = ()
        self._failed_by: Fault | None = None
        self._paused_at: float | None = None
        self._record: Open | None = None
        self._chain: Chain | None = None
        self._steered: tuple[str | None, bool] | None = None

    def __repr__(self) -> str:
        return f"<Exchange {self.request_id} {self.state.value} on {self._replica_id}>"

    def hold(self, size: int) -> bool:
        """Count `size` bytes more that are held for this call. Whether there is room for them."""
        if self.state in OVER:
            return False
        self._held_bytes += size
        self._proxy.held_bytes += size
        return self._proxy.held_bytes <= self._proxy.max_held_bytes

    def hurry(self, *, total: float | None, silence: float | None) -> None:
        """Its client waits `total` seconds for all of the answer, and `silence` seconds for the beginning of it."""
        if total is not None:
            self._deadline = min(self._deadline, self._arrived + total)
        self._begin_by = self._deadline if silence is None else min(self._deadline, self._arrived + silence)

    def steer(self, *, session: str | None, may_fall_back: bool) -> None:
        """Its head names the session that it belongs to, or wants no other model than the one it names."""
        self._steered = session, may_fall_back

    # --- events from the client's side

    def request(self, body: bytes) -> None:
        """The body is complete."""
        if self.state is not READING:
            return
        if self.refusal is not None:
            self.refuse(self.refusal)
            return
        if len(body) > LARGE_BYTES:
            self._enter(PARSING)
            self._parsing = self._proxy.aside.run(lambda: self._read_aside(body), self._parsed)
            return
        try:
            envelope = self._read(body)
        except GatewayError as error:
            self.refuse(error)
            return
        self._parsed(envelope)

    def _read(self, body: bytes) -> Envelope:
        """Understand a body and make it one for engines. Touches no state. Raises `GatewayError`."""
        envelope = self._proxy.reader.read(self.operation, body, self._key_id())
        return envelope if envelope.service_tier is None else acceptable(envelope)

    def _read_aside(self, body: bytes) -> Envelope | GatewayError:
        """Understand a large body. Runs in another thread: touches no state, and is the outermost edge there."""
        try:
            return self._read(body)
        except GatewayError as error:
            return error.with_traceback(None)  # a traceback holds the body
        except Exception:
            log.exception("a request body could not be read")
            return GatewayError("The gateway failed. The log has the cause.")

    def _parsed(self, read: Envelope | GatewayError) -> None:
        """The body was read, or found wrong."""
        self._parsing = None
        if self.state in OVER:  # while it was read, its client left, or its time was over
            return
        if isinstance(read, GatewayError):
            self.refuse(read)
            return
        proxy, envelope, principal = self._proxy, read, self.principal
        if self._steered is not None and self._steered[0] is not None:
            envelope = envelope._replace(session=self._steered[0])
        self._envelope, self._stripped = envelope, envelope.stripped
        self._parsed_at = proxy.clock()
        try:
            if principal is None or not principal.may_use(envelope.model):
                raise ModelNotFound.named(envelope.model)
            route = proxy.catalog.routes.by_model.get(envelope.model)
            pool = (
                proxy.catalog.resolve(envelope.model)
                if route is None
                else self._pool_of(route, envelope, principal)
            )
            self._pool = pool
            if proxy.quarantine.has_suspects:
                self._check_quarantine(principal, envelope)
            if proxy.ledger is not None and proxy.ledger.is_full:
                raise unrecorded()
            proxy.budget(pool.model).calls += 1
            call = self._call = Call(
                self.request_id,
                principal,
                self.operation.name,
                pool.model,
                self._arrived,
                self._deadline,
                tier_of(envelope.service_tier, principal),
                envelope,
                None if route is None else envelope.model,
            )
            self._queue_until = min(self._parsed_at + proxy.timeouts.queue, self._latest_begin(pool))
            if proxy.limiter is not None:
                reserved = proxy.limiter.reserve(call, self)
                if isinstance(reserved, Reserving):
                    self._reserving = reserved
                    self._enter(RESERVING)
                    return
                self._reservation = reserved
        except GatewayError as error:
            self.refuse(error)
            return
        self._admit(pool, call)

    def _latest_begin(self, pool: Pool) -> float:
        """When it has to be begun for its client to see any of it.

        What engines usually take for that is believed up to half of the time that the client has: else engines that were
        slow once would never be asked again.
        """
        begin_by = self._begin_by
        return begin_by - min(pool.usual_wait, (begin_by - self._arrived) / 2)

    def _admit(self, pool: Pool, call: Call) -> None:
        """All that the call may use is reserved: on to a replica, or into its queue."""
        try:
            admitted = self._proxy.admission.admit(pool, call, self, self._queue_until)
        except GatewayError as error:
            self._go_on_or_refuse(error)
            return
        if isinstance(admitted, Lease):
            self.granted(admitted)
        else:
            self._ticket = admitted
            self._wait(self._proxy.clock())

    def refuse(self, error: GatewayError) -> None:
        """Answer `error`: for what is wrong with the request, and whatever ends it before content was sent."""
        if self.state in OVER:
            return
        headers = [*errors.headers_of(error), *self._own_headers()]
        self._end(FAILED, Outcome(error.outcome), error.status, error.code)
        self._client.answer(error.status, [*headers, *self._limit_headers()], errors.body_of(error))

    def client_gone(self) -> None:
        """The client's connection is closed. The engine is told by the closing of ours, at once, in every phase."""
        if self.state in OVER:
            return
        if self._is_complete():
            self._end(DONE, _ANSWERED, _OK, None, _WELL)
            return
        status = _OK if self.state is STREAMING else _CLIENT_CLOSED_REQUEST
        self._end(FAILED, Outcome.CLIENT_GONE, status, None)

    def cut(self, error: GatewayError) -> None:
        """End the call because the gateway stops; `error` tells one that was sent to no engine."""
        if self.state in OVER:
            return
        if self._is_complete():
            self._complete(b"")
        elif self._dispatches:
            self._give_up(CutShort("This gateway is shutting down."), Ended.UNJUDGED)
        else:
            self.refuse(error)

    def broke(self) -> None:
        """Something of ours failed under this call: end it, and no other. Never raises."""
        lease = self._lease
        try:
            if self.state not in OVER:
                self._give_up(GatewayError("The gateway failed. The log has the cause."), _UNJUDGED)
        except Exception:
            log.exception("nor could it be ended", extra={"request_id": self.request_id})
        finally:
            if lease is not None:
                lease.release(_UNJUDGED)

    def writable(self, is_writable: bool) -> None:
        """The client takes more, or cannot for now: the engine is held back, nothing piles up here."""
        sending = self._sending
        if is_writable:
            self._paused_at = None
            self._last_heard = self._proxy.clock()
            if sending is not None:
                sending.resume()
        else:
            self._paused_at = self._proxy.clock()
            self._unsent = self._client.unsent()
            if sending is not None:
                sending.pause()

    # --- events from the limiter

    def reserved(self, reservation: Reservation) -> None:
        """What the call may use at most is ours."""
        self._reserving = None
        if self.state is not RESERVING or self._pool is None or self._call is None:
            reservation.release()
            return
        self._reservation = reservation
        self._admit(self._pool, self._call)

    def unreserved(self, error: GatewayError) -> None:
        """A limit has no room."""
        self._reserving = None
        self._go_on_or_refuse(error)

    # --- events from admission

    def granted(self, lease: Lease) -> None:
        """A slot is ours. Never raises: it may be told inside the end of another call, or of the sweep."""
        self._ticket = None
        self._lease = lease
        try:
            self._begin(lease)
        except Exception:
            log.exception("a call could not be begun", extra={"request_id": self.request_id})
            self.broke()

    def _begin(self, lease: Lease) -> None:
        """Use the slot."""
        if self.state is WAITING:
            if (
                self._proxy.quarantine.has_suspects and self._call is not None
            ):  # engines may have died meanwhile
                try:
                    self._check_quarantine(self._call.principal, self._call.envelope)
                except GatewayError as error:
                    self.refuse(error)
                    return
            self._waited += self._proxy.clock() - self._waits_since
        self._dispatch(lease, fresh=False)

    def evicted(self, error: GatewayError) -> None:
        """There will be no slot. Never raises, as `granted`."""
        self._ticket = None
        try:
            self._go_on_or_refuse(error)
        except Exception:
            log.exception("a call could not be given to another model", extra={"request_id": self.request_id})
            self.broke()

    # --- events from the engine's side

    def upstream_head(self, status: int, content_type: bytes) -> None:
        """The engine's status and headers are there."""
        self._enter(HEAD)
        self._status = status
        self._last_heard = self._proxy.clock()
        if self._scanner is not None:
            if status != _OK:
                self._scanner = None
            elif not content_type.startswith(_EVENT_STREAM):
                self._fault(Fault.GARBAGE)

    def upstream_data(self, data: bytes, *, last: bool) -> None:
        """More of the engine's answer."""
        if not self._is_complete():  # what an engine says after `[DONE]` keeps nobody waiting
            self._last_heard = self._proxy.clock()
        if last:
            self._sending = None
        self._size += len(data)
        if self._scanner is not None:
            self._relay(self._scanner, data, last=last)
            return
        if self._size > MAX_ANSWER_BYTES:
            self._fault(Fault.GARBAGE)
            return
        if not self.hold(len(data)):
            self._give_up(exhausted(), _UNJUDGED)
            return
        self._body.append(data)
        if last:
            self._whole(b"".join(self._body))

    def upstream_lost(self, loss: Loss) -> None:
        """The engine's answer will not be complete."""
        self._sending = None
        if self._is_complete():
            self._complete(b"")
            return
        fault, dispatched_at = FAULT_OF[loss], self._dispatched_at
        if fault is Fault.STALE and dispatched_at is not None:
            is_late = self._proxy.clock() - dispatched_at > STALE_SECONDS
            fault = Fault.LOST if is_late else fault
        self._fault(fault)

    def tick(self, now: float) -> None:
        """Time has passed: end what has waited too long. Waiting in the queue is bounded by the queue."""
        timeouts = self._proxy.timeouts
        if self._lease is not None and self._is_stuck(self._lease.replica, now):
            self._fault(Fault.STUCK)
            return
        if self.state in EARLY:
            self._tick_early(now)
        elif self.state is STREAMING:
            self._tick_streaming(now)
        elif self._dispatched_at is not None:
            is_stream = self._envelope is not None and self._envelope.stream
            if now > self._deadline:
                self._give_up(too_long(), Ended.UNJUDGED)
            elif is_stream and now - self._dispatched_at > timeouts.first_token:
                self._fault(Fault.TIMEOUT)

    def _is_stuck(self, replica: Replica, now: float) -> bool:
        """Tell `replica` what was heard of it. Whether there is no use in waiting for it."""
        if self._last_heard != self._dispatched_at:
            replica.heard(self._last_heard)
        if now - self._last_heard <= STUCK_SECONDS or self._paused_at is not None or self._is_complete():
            return False
        replica.is_awaited = True
        return replica.is_stuck

    def _tick_early(self, now: float) -> None:
        if self.state is READING:
            if now - self._arrived > self._proxy.timeouts.body:
                self.refuse(RequestTimeout("The request body did not arrive in time."))
        elif now > self._deadline:
            self.refuse(too_long())
        elif self.state is RESERVING and now > self._queue_until:
            self.refuse(LimitsUnavailable("The limits of this key could not be checked in time."))

    def _tick_streaming(self, now: float) -> None:
        if self._record is not None and self._proxy.ledger is not None and self._scanner is not None:
            self._proxy.ledger.progressed(self._record, self._scanner.delivered)
        stall = self._proxy.timeouts.stall
        paused = self._paused_at
        if paused is not None:
            unsent = self._client.unsent()
            if unsent < self._unsent:  # slow, but it reads
                self._paused_at = paused = now
            self._unsent = unsent
        if paused is not None and now - paused > stall:
            self._end(FAILED, Outcome.CLIENT_GONE, _OK, None)
            self._client.send(b"", ABORT)
        elif self._is_complete():
            if now - self._last_heard > _LAST_CHUNK_SECONDS:
                self._complete(b"")
        elif now > self._deadline:
            self._give_up(too_long(), Ended.UNJUDGED)
        elif paused is None and now - self._last_heard > stall:
            self._fault(Fault.TIMEOUT)

    # --- what follows from them

    def _dispatch(self, lease: Lease, *, fresh: bool) -> None:
        envelope, proxy = self._envelope, self._proxy
        assert envelope is not None  # noqa: S101 - nothing is admitted before its body was read
        tier = lease.call.tier
        self._lease = lease
        self._dispatches += 1
        self._replica_id = lease.replica.endpoint.id
        self._choice = lease.choice
        self._dispatched_at = self._last_heard = proxy.clock()
        self._scanner = Scanner(strip_usage=envelope.strip_usage) if envelope.stream else None
        public = envelope.model if self._chain is None else self._chain.target.public
        rewrite = None if lease.model == public else proxy.rename(lease.model, public)
        self._rewrite = rewrite if envelope.service_tier is None else Echo(tier, rewrite)
        self._body = []
        self._size = 0
        self._held = b""
        self._enter(DISPATCHED)
        engine_id = self._engine_id if self._dispatches == 1 else f"{self._engine_id}-{self._dispatches}"
        body = envelopes.upstream_body(envelope, lease.model)
        if proxy.engines_know_tiers:
            body = with_priority(body, tier)
        if proxy.ledger is not None:
            if self._record is None:
                self._record = proxy.ledger.began(lease.call, self._replica_id)
            elif self._record.began.who.model != lease.call.model:
                proxy.ledger.moved(self._record, lease.call, self._replica_id)
        if proxy.isolation is not None:
            body = proxy.isolation.salted(body, self.principal, lease.replica.endpoint.engine)
        sending = proxy.transport.send(
            lease.replica.endpoint, self.operation, engine_id, body, self, fresh=fresh
        )
        if self._lease is lease:
            self._sending = sending

    def _relay(self, scanner: Scanner, data: bytes, *, last: bool) -> None:
        out = scanner.feed(data)
        if out and self._rewrite is not None:
            out = self._rewrite(out)
        if self.state is HEAD:
            out = self._open_stream(scanner, out)
        verdict = scanner.verdict
        if not last and (verdict is OPEN or verdict is COMPLETE):
            if out:
                self._client.send(out, MORE)
        elif verdict is COMPLETE:
            self._complete(out)
        elif verdict is ERROR:
            self._engine_error(_OK, scanner.error or b"", out)
        else:
            self._fault(Fault.GARBAGE if verdict is GARBAGE else Fault.LOST, out)

    def _open_stream(self, scanner: Scanner, out: bytes) -> bytes:
        """Hold events back until one carries content; with it, send the head and give back all that was held."""
        out = self._held + out
        if not scanner.has_content:
            self._held = out
            if len(out) > MAX_HELD_BYTES:
                scanner.verdict = GARBAGE
            return b""
        self._held = b""
        self._first_content = self._last_heard
        if self._pool is not None and self._dispatched_at is not None:
            waited = self._last_heard - self._dispatched_at
            self._pool.waited(waited)
            if self._lease is not None:
                self._lease.began()
                self._lease.replica.pace.first.take(waited)
        self._clear()
        self._enter(STREAMING)
        if self._paused_at is not None:  # the client has not read what it was sent before this call
            self._paused_at, self._unsent = self._last_heard, 0
            if self._sending is not None:
                self._sending.pause()
        self._client.begin(_OK, (*_STREAM_HEADERS, *self._own_headers(), *self._limit_headers()))
        return out

    def _complete(self, out: bytes) -> None:
        """Every choice finished and `[DONE]` was sent: the one way in which a stream ends in good form."""
        self._end(DONE, _ANSWERED, _OK, None, _WELL)
        self._client.send(out, LAST)

    def _whole(self, body: bytes) -> None:
        """A whole answer is there, not a stream."""
        status = self._status
        if status != _OK:
            self._engine_error(status, body, b"")
            return
        answer = answers.read(body)
        if answer is None:
            self._fault(Fault.GARBAGE)
            return
        if self._rewrite is not None:
            body = self._rewrite(body)
        self._first_content = self._last_heard
        self._end(DONE, _ANSWERED, _OK, None, _WELL, answer.usage)
        headers = ((b"content-type", errors.JSON), *self._own_headers(), *self._limit_headers())
        self._client.answer(_OK, headers, body)

    def _engine_error(self, status: int, body: bytes, out: bytes) -> None:
        """The engine answered an error, by its status or as an event of its stream."""
        error = errors.read_engine_error(status, body)
        if error.status in _BUSY and self.state is not STREAMING:
            self._fault(Fault.BUSY, out)
        elif error.status in _CLIENT_FAULTS and self.state is not STREAMING:
            chain = self._chain
            if chain is not None and error.code == errors.TOO_LONG:
                why = ContextTooLong(error.message, param=error.param)
                if chain.is_fallback or chain.goes_on_for(why):  # of no stand-in does the caller want to know
                    self._hand_on(why, errors.TOO_LONG, _WELL)
                    return
            self._end(DONE, Outcome.CLIENT_ERROR, error.status, error.code, _WELL)
            headers = ((b"content-type", errors.JSON), (b"x-should-retry", b"false"), *self._own_headers())
            self._client.answer(
                error.status, (*headers, *self._limit_headers()), errors.client_body_of(error)
            )
        else:
            self._fault(Fault.FAILED, out)

    def _fault(self, fault: Fault, out: bytes = b"") -> None:
        """The engine failed this call. `out` is what of its stream may still go to the client."""
        self._close_sending()
        self._failed_by = fault
        ended = ENDED_BY.get(fault, Ended.FAILED)
        decision = decide(fault, self._situation())
        if (fault in UNTOUCHED or fault is Fault.OURS) and self.state is not STREAMING:
            self._turned_away += 1
        if fault is Fault.LOST or fault is Fault.STALE:  # an engine that dies closes its kept connections too
            self._strike()
        if decision is Decision.RESEND and self._lease is not None:
            self._resent = True
            self._dispatches -= 1
            self._begin_anew(fault.value)
            self._dispatch(self._lease, fresh=True)
            return
        if decision is Decision.MOVE and self._move(fault, ended):
            return
        error, chain = error_of(fault, self._proxy.timeouts.retry_after), self._chain
        if chain is not None and chain.goes_on_for(error) and may_go_on(fault, self._situation()):
            if fault not in UNTOUCHED:
                self._proxy.budget(chain.target.model).spend()
            self._hand_on(error, fault.value, ended)
            return
        self._give_up(error if chain is None else chain.final(error), ended, out)

    def _situation(self) -> Situation:
        proxy, pool, lease = self._proxy, self._pool, self._lease
        assert pool is not None  # noqa: S101 - nothing is dispatched before its pool is known
        body = self._sent_body()
        return Situation(
            dispatches=self._dispatches - self._turned_away,
            content_sent=self.state is STREAMING,
            resent=self._resent,
            is_ready=lease is not None and lease.replica.is_serving() and lease.replica in pool.members,
            body_bytes=len(body),
            is_suspect=lease is not None and proxy.quarantine.is_suspect(self._tenant(), body, lease.replica),
            time_left=self._deadline - proxy.clock(),
            usual_wait=pool.usual_wait,
            has_budget=proxy.budget(pool.model).has(),
        )

    def _move(self, fault: Fault, ended: Ended) -> bool:
        """Send again to another replica if one has room now; a call that was only turned away may wait for one."""
        lease, self._lease = self._lease, None
        if lease is None or self._pool is None or self._call is None:
            return False
        replacement = self._proxy.admission.move(self._pool, self._call, without=lease.replica)
        lease.release(ended)
        if replacement is None:
            return fault is Fault.BUSY and self._wait_again(self._pool, self._call)
        if fault not in UNTOUCHED:
            self._proxy.budget(self._pool.model).spend()
        self._begin_anew(fault.value)
        self._dispatch(replacement, fresh=False)
        return True

    def _wait_again(self, pool: Pool, call: Call) -> bool:
        """Back into the queue, for as long as is left of the time there."""
        try:
            ticket = self._proxy.admission.readmit(pool, call, self, self._queue_until)
        except QueueFull:
            return False
        self._begin_anew(Fault.BUSY.value)
        self._ticket = ticket
        self._dispatched_at = None
        self._wait(self._proxy.clock())
        return True

    # --- another model

    def _pool_of(self, route: Route, envelope: Envelope, principal: Principal) -> Pool:
        """The first pool of a name that has a route."""
        catalog, session = self._proxy.catalog, envelope.session
        number = self._proxy.draw() if session is None else session_number(principal.tenant, session)
        chain = Chain(
            route,
            catalog.routes,
            principal,
            envelope,
            number,
            may_fall_back=self._steered is None or self._steered[1],
        )
        self._chain = chain
        return catalog.pool(chain.target.model)

    def _go_on_or_refuse(self, error: GatewayError) -> None:
        """`error` ends the call, unless another model serves it."""
        chain = self._chain
        if chain is None:
            self.refuse(error)
            return
        while chain.goes_on_for(error):
            target = chain.next(error)
            try:
                self._turn_to(chain, target)
            except GatewayError as why:
                error = why
            else:
                return
        self.refuse(chain.final(error))

    def _hand_on(self, error: GatewayError, why: str, ended: Ended) -> None:
        """What an engine failed goes to another model."""
        self._close_sending()
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(ended)
        self._begin_anew(why)
        self._go_on_or_refuse(error)

    def _turn_to(self, chain: Chain, target: Target) -> None:
        """Leave one model for another. Raises `GatewayError` when that does not take the call either."""
        proxy, call = self._proxy, self._call
        assert call is not None  # noqa: S101 - a call has its first model before it has another
        reservation, self._reservation = self._reservation, None
        if reservation is not None:
            self._settle(reservation, Outcome.UPSTREAM_ERROR, None)
        now = proxy.clock()
        if self.state is WAITING:
            self._waited += now - self._waits_since
            self._waits_since = now
        self._worked = self._dispatches - self._turned_away
        self._dispatched_at, self._scanner, self._body, self._resent = None, None, [], False
        pool = self._pool = proxy.catalog.pool(target.model)
        envelope = chain.asked
        if chain.is_fallback:
            envelope = proxy.reader.reread(self.operation, envelope, target.public, self._key_id())
        self._envelope = envelope
        proxy.budget(pool.model).calls += 1
        call = self._call = call._replace(model=pool.model, envelope=envelope)
        self._queue_until = min(now + proxy.timeouts.queue, self._latest_begin(pool))
        if proxy.limiter is not None:
            reserved = proxy.limiter.reserve(call, self)
            if isinstance(reserved, Reserving):
                self._reserving = reserved
                self._enter(RESERVING)
                return
            self._reservation = reserved
        admitted = proxy.admission.admit(pool, call, self, self._queue_until)
        if isinstance(admitted, Lease):
            self.granted(admitted)
        else:
            self._ticket = admitted
            self._wait(now)

    def _wait(self, now: float) -> None:
        """A place in the queue is taken."""
        self._waits_since = now
        if self._queued_at is None:
            self._queued_at = now
        self._enter(WAITING)

    def _begin_anew(self, why: str) -> None:
        """The last attempt is over, and not the last after all."""
        replica, dispatched_at = self._replica_id, self._dispatched_at
        assert replica is not None  # noqa: S101 - only what was dispatched can have failed
        assert dispatched_at is not None  # noqa: S101 - the same
        now = self._proxy.clock()
        attempt = Attempt(replica, dispatched_at, now, why, self._choice)
        self._former = (*self._former[1 - MOST_ATTEMPTS :], attempt)
        self._failed_by = None

    def _check_quarantine(self, principal: Principal, envelope: Envelope) -> None:
        body = envelopes.upstream_body(envelope, envelope.model)
        standing = self._proxy.quarantine.standing(principal.tenant, body, request_id=self.request_id)
        if standing is Standing.HELD:
            raise Quarantined(
                "Engines failed while they worked on this very request: it is not tried again for now."
            )
        if standing is Standing.DOUBTED:
            raise NoReplica("No engine can take this request now. Try again later.", retry_after=5)

    def _strike(self) -> None:
        """The engine went away under this call: it may be the call that did it, unless it was being answered."""
        if self._lease is not None and self.state is not STREAMING:
            self._proxy.quarantine.strike(self._tenant(), self._sent_body(), self._lease.replica)

    def _clear(self) -> None:
        """An engine answers this call, and lives."""
        if self._proxy.quarantine.has_suspects:
            self._proxy.quarantine.clear(self._tenant(), self._sent_body())

    def _learn(self, lease: Lease, usage: Usage) -> None:
        """What a whole answer says of the replica that gave it."""
        if self.state is DONE and self._first_content is not None and self._dispatched_at is not None:
            is_stream = self._scanner is not None
            begun = self._first_content if is_stream else self._dispatched_at
            tokens = usage.completion_tokens - is_stream
            if tokens > 0:
                lease.replica.pace.token.take((self._last_heard - begun) / tokens)

    def _sent_body(self) -> bytes:
        assert self._envelope is not None  # noqa: S101 - nothing is dispatched before its body was read
        return envelopes.upstream_body(self._envelope, self._envelope.model)

    def _key_id(self) -> str:
        return "" if self.principal is None else self.principal.key_id

    def _tenant(self) -> str:
        return "" if self.principal is None else self.principal.tenant

    def _give_up(self, error: GatewayError, ended: Ended, out: bytes = b"") -> None:
        """Tell the client: as a status while that can be, in-band once content was sent."""
        self._close_sending()
        if self._lease is not None:
            self._lease.release(ended)
        if self.state is not STREAMING:
            self.refuse(error)
            return
        interrupted = StreamInterrupted("The answer was interrupted: the engine failed or took too long.")
        self._end(FAILED, Outcome(error.outcome), _OK, interrupted.code)
        self._client.send(out + errors.event_of(interrupted), BROKEN)

    def _end(
        self,
        state: State,
        outcome: Outcome,
        status: int,
        code: str | None,
        ended: Ended = _UNJUDGED,
        usage: Usage | None = None,
    ) -> None:
        """Give back all that is held and tell of it, once. Nothing of the Exchange acts after this."""
        now, call, failed_by = self._proxy.clock(), self._call, self._failed_by
        if self.state is WAITING:
            self._waited += now - self._waits_since
        self._enter(state)
        self._close_sending()
        parsing, self._parsing = self._parsing, None
        if parsing is not None:
            parsing.cancel()
        reserving, self._reserving = self._reserving, None
        if reserving is not None:
            reserving.cancel()
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.cancel()
        if usage is None and self._scanner is not None:
            usage = self._scanner.usage
        if self._reservation is not None:
            # before the lease: whoever gets that may be held to the same limits
            self._settle(self._reservation, outcome, usage)
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(ended, usage)
        envelope, pool = self._envelope, self._pool
        if outcome is _ANSWERED:
            self._clear()
            if lease is not None and usage is not None:
                self._learn(lease, usage)
        self._proxy.held_bytes -= self._held_bytes
        # A kept connection keeps its last Exchange: not the request and the answer with it.
        self._envelope, self._call, self._body = None, None, []
        record, self._record = self._record, None
        self._proxy.ended(
            self,
            record,
            End(  # in the order of its fields: by name, it takes twice as long
                self.request_id,
                self.operation.name,
                self.principal,
                None if pool is None else pool.model,
                envelope is not None and envelope.stream,
                outcome,
                status,
                code,
                self._replica_id,
                self._dispatches,
                usage,
                self._arrived,
                self._dispatched_at,
                self._first_content,
                now,
                self._client.address,
                Trail(
                    None if call is None else call.tier,
                    self._deadline,
                    self._parsed_at,
                    self._queued_at,
                    self._waited,
                    self._former,
                    None if failed_by is None else failed_by.value,
                    self._choice,
                    () if self._chain is None else self._chain.left,
                ),
                0 if self._scanner is None else self._scanner.delivered,
                None if self._chain is None else self._chain.route.model,
            ),
        )

    def _settle(self, reservation: Reservation, outcome: Outcome, usage: Usage | None) -> None:
        """Count what the call used of its limits.

        Without the engine's own count: nothing if no engine took the call; the request alone if the engine refused it or
        failed before it answered; else no more tokens of the answer than bytes of it came, where it came bit by bit.
        """
        if self._dispatches - self._turned_away == self._worked:
            reservation.release()
        elif usage is not None:
            reservation.settle(usage)
        elif self._first_content is None and outcome not in _UNFINISHED:
            reservation.settle(_NO_TOKENS)
        else:
            reservation.interrupt(None if self._scanner is None else self._size)

    def _close_sending(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.close()

    def _is_complete(self) -> bool:
        return self._scanner is not None and self._scanner.verdict is COMPLETE

    def _enter(self, state: State) -> None:
        if state not in NEXT[self.state]:
            raise RuntimeError(f"{self!r} cannot become {state.value}")
        self.state = state

    def _own_headers(self) -> Headers:
        """What every answer of this call says of it."""
        name = (b"x-request-id", self.request_id.encode())
        timing = (b"server-timing", self._timing())
        if self._stripped or self._chain is not None:
            return (name, timing, *self._odd_headers())
        return (name, timing)

    def _odd_headers(self) -> Iterator[tuple[bytes, bytes]]:
        """What there is not to say of most calls."""
        if self._stripped:
            yield b"x-cascadia-stripped", self._stripped
        if self._chain is not None and self._dispatched_at is not None:
            yield b"x-cascadia-model", self._chain.target.model.encode()

    def _limit_headers(self) -> Headers:
        """What is left of the limits that the call is under: asked for after its end, with what it gave back."""
        return () if self._reservation is None else self._reservation.headers()

    def _timing(self) -> bytes:
        """Where the time went until now, in milliseconds (W3C Server Timing). Names nothing of ours but the queue."""
        now, dispatched_at = self._proxy.clock(), self._dispatched_at
        total = (now - self._arrived) * 1e3
        if dispatched_at is not None:
            spent = self._waited * 1e3, (now - dispatched_at) * 1e3, total
            return b"queue;dur=%.1f, upstream;dur=%.1f, total;dur=%.1f" % spent
        if self.state is WAITING:
            return b"queue;dur=%.1f, total;dur=%.1f" % (
                (self._waited + now - self._waits_since) * 1e3,
                total,
            )
        return b"total;dur=%.1f" % total
