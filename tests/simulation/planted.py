"""Bugs to be found: each breaks real code in one place, as a careless change might."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.fleet.pool import Pool
from gateway.openai.names import Rename
from gateway.openai.sse import Scanner, Verdict
from gateway.proxy import exchange, retry
from gateway.proxy.client import Part
from gateway.proxy.edge import EdgeCall
from gateway.proxy.exchange import Exchange
from gateway.proxy.guarded import GuardedProtocol
from gateway.proxy.proxy import Proxy
from gateway.proxy.states import State
from gateway.transport.http1 import Connection, Http1

Plant = Callable[[pytest.MonkeyPatch], None]


def lease_is_kept_when_the_client_leaves(patch: pytest.MonkeyPatch) -> None:
    real = Exchange.client_gone

    def client_gone(self: Exchange) -> None:
        if self.state is State.DISPATCHED:
            self._lease = None
        real(self)

    patch.setattr(Exchange, "client_gone", client_gone)


def lease_is_released_twice(patch: pytest.MonkeyPatch) -> None:
    real = Exchange._end

    def _end(self: Exchange, *arguments: Any, **named: Any) -> None:
        lease = self._lease
        real(self, *arguments, **named)
        if lease is not None:
            lease.replica.in_flight -= 1

    patch.setattr(Exchange, "_end", _end)


def call_is_sent_again_after_content(patch: pytest.MonkeyPatch) -> None:
    real = Exchange._fault

    def _fault(self: Exchange, fault: Any, out: bytes = b"") -> None:
        if self.state is State.STREAMING:
            self.state = State.HEAD
        real(self, fault, out)

    patch.setattr(Exchange, "_fault", _fault)


def error_event_is_followed_by_done(patch: pytest.MonkeyPatch) -> None:
    real = Scanner.feed

    def feed(self: Scanner, data: bytes) -> bytes:
        out = real(self, data)
        if self.verdict is Verdict.ERROR:
            self.verdict = Verdict.COMPLETE
            return out + b"data: [DONE]\n\n"
        return out

    patch.setattr(Scanner, "feed", feed)


def early_end_passes_for_an_end(patch: pytest.MonkeyPatch) -> None:
    real = Exchange.upstream_data

    def upstream_data(self: Exchange, data: bytes, *, last: bool) -> None:
        if last and self.state is State.STREAMING and self._scanner is not None:
            self._sending = None
            out = self._scanner.feed(data)
            self._complete(out)
        else:
            real(self, data, last=last)

    patch.setattr(Exchange, "upstream_data", upstream_data)


def broken_stream_ends_in_good_form(patch: pytest.MonkeyPatch) -> None:
    real = EdgeCall.send

    def send(self: EdgeCall, data: bytes, part: Part) -> None:
        real(self, data, Part.LAST if part is Part.BROKEN else part)

    patch.setattr(EdgeCall, "send", send)


def ticket_is_kept_when_its_client_leaves(patch: pytest.MonkeyPatch) -> None:
    real = Exchange.client_gone

    def client_gone(self: Exchange) -> None:
        self._ticket = None
        real(self)

    patch.setattr(Exchange, "client_gone", client_gone)


def unfinished_connection_is_kept(patch: pytest.MonkeyPatch) -> None:
    real = Connection.close

    def close(self: Connection) -> None:
        if self._sink is None or self._transport is None:
            real(self)
            return
        self._sink = None
        self._reset()
        self._pool.give_back(self)

    patch.setattr(Connection, "close", close)


def connection_is_left_open_when_the_client_leaves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchange, "_close_sending", lambda self: setattr(self, "_sending", None))


def timeouts_never_fire(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchange, "tick", lambda _self, _now: None)


def sweep_never_comes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Proxy, "sweep", lambda _self: None)


def condition_is_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        Pool, "candidates", lambda self, _now, *, without=None: [r for r in self.members if r is not without]
    )


def changed_endpoint_keeps_its_old_connections(patch: pytest.MonkeyPatch) -> None:
    def _replace(self: Http1, endpoint: Any, old: Any) -> Any:
        if old is None:
            return real(self, endpoint, old)
        return old

    real = Http1._replace
    patch.setattr(Http1, "_replace", _replace)
    patch.setattr(Http1, "forget", lambda _self, _endpoint: None)


def call_is_sent_up_to_nine_times(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(retry, "MAX_DISPATCHES", 9)


def closed_connection_is_replaced_at_an_engine_that_drains(patch: pytest.MonkeyPatch) -> None:
    real = exchange.decide
    patch.setattr(exchange, "decide", lambda fault, case: real(fault, case._replace(is_ready=True)))


def connection_is_kept_for_a_client_that_does_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GuardedProtocol, "_is_stuck", lambda _self, _now: False)


def request_that_kills_engines_is_never_suspected(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Exchange, "_strike", lambda _self: None)


def usage_is_not_taken_out(patch: pytest.MonkeyPatch) -> None:
    real = Scanner.__init__

    def init(self: Scanner, *, strip_usage: bool) -> None:
        del strip_usage
        real(self, strip_usage=False)

    patch.setattr(Scanner, "__init__", init)


def models_are_not_renamed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Rename, "__call__", lambda _self, data: data)


def answer_goes_to_another_client(patch: pytest.MonkeyPatch) -> None:
    real = Exchange._whole
    held: list[bytes] = []

    def _whole(self: Exchange, body: bytes) -> None:
        if self._status == 200:
            held.append(body)
            body = held[-2:][0]
        real(self, body)

    patch.setattr(Exchange, "_whole", _whole)


def drain_cuts_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Proxy, "cut", lambda _self: None)


PLANTED: Mapping[str, tuple[Plant, frozenset[str]]] = {
    plant.__name__: (plant, frozenset(invariants.split()))
    for plant, invariants in (
        (lease_is_kept_when_the_client_leaves, "I6"),
        (lease_is_released_twice, "I6"),
        (call_is_sent_again_after_content, "I1 I2 I3"),
        (error_event_is_followed_by_done, "I2"),
        (early_end_passes_for_an_end, "I2"),
        (broken_stream_ends_in_good_form, "I2"),
        (ticket_is_kept_when_its_client_leaves, "I1 I6"),
        (unfinished_connection_is_kept, "I9"),
        (connection_is_left_open_when_the_client_leaves, "I6"),
        (timeouts_never_fire, "I10"),
        (sweep_never_comes, "I10"),
        (condition_is_not_looked_at, "I8"),
        (changed_endpoint_keeps_its_old_connections, "I8 I10"),
        (call_is_sent_up_to_nine_times, "I3"),
        (closed_connection_is_replaced_at_an_engine_that_drains, "I8"),
        (connection_is_kept_for_a_client_that_does_not_read, "I10"),
        (request_that_kills_engines_is_never_suspected, "I3"),
        (usage_is_not_taken_out, "I2"),
        (models_are_not_renamed, "I2"),
        (answer_goes_to_another_client, "I9"),
        (drain_cuts_nothing, "I1 I2"),
    )
}
"""Name → the bug, and the invariants of which one has to tell of it."""
