"""One call's way along its route: which pool it goes to first, and where it goes when that cannot serve it.

A call goes on when no replica can take it, or when engines failed it before any content was sent and sending it again
costs no more than a retry may. What is wrong with the request, a limit of the caller, and anything of ours are no reason,
as long as it is with the model that was asked for; a fallback whose own limits are used up is passed over.
"""

from __future__ import annotations

from gateway.core.call import Envelope, Principal
from gateway.core.errors import (
    ContextTooLong,
    Displaced,
    GatewayError,
    NoReplica,
    QueueFull,
    QueueTimeout,
    TooLate,
    UpstreamError,
)
from gateway.fleet.routes import Route, Routes, Target
from gateway.proxy.retry import MAX_DISPATCHES, MAX_REPLAYED_BYTES, UNTOUCHED, Fault, Situation

MOST_ENGINES = MAX_DISPATCHES + 1
"""Engines that may work on a call of a model with a route: one more than of another."""
_REASONS = (NoReplica, QueueFull, TooLate, QueueTimeout, Displaced, UpstreamError)


def may_go_on(fault: Fault, situation: Situation) -> bool:
    """Whether a call that engines failed for good may be given to the engines of another model."""
    if situation.content_sent or situation.is_suspect or fault is Fault.OURS:
        return False
    if fault in UNTOUCHED:
        return True
    is_cheap = situation.body_bytes <= MAX_REPLAYED_BYTES and situation.has_budget
    return is_cheap and situation.dispatches < MOST_ENGINES


class Chain:
    """Where one call was, is, and may go."""

    __slots__ = ("_at", "_error", "_targets", "asked", "left", "route", "target")

    def __init__(
        self,
        route: Route,
        routes: Routes,
        principal: Principal,
        asked: Envelope,
        number: int,
        *,
        may_fall_back: bool,
    ) -> None:
        self.route = route
        self.asked = asked
        """What was asked for, by the name that was asked for."""
        targets = route.targets(number)
        if may_fall_back:
            seen = {target.model for target in targets}
            for target in routes.fallbacks(route, number):
                if target.model not in seen and principal.may_use(target.public):
                    seen.add(target.model)
                    targets.append(target)
        else:
            del targets[1:]
        self._targets = targets
        self._at = 0
        self._error: GatewayError | None = None
        self.target = targets[0]
        self.left: tuple[tuple[str, str], ...] = ()
        """Models that did not serve the call, each with the code of the reason."""

    def __repr__(self) -> str:
        return f"<Chain {self.route.model} at {self.target.model}>"

    @property
    def is_fallback(self) -> bool:
        """Whether the call is with a model that stands in for the one asked for."""
        return self.target.public != self.route.model

    def goes_on_for(self, error: GatewayError) -> bool:
        """Whether `error` is a reason to ask another, and there is one."""
        if self._at + 1 == len(self._targets):
            return False
        if self._at or isinstance(error, _REASONS):
            return True
        return self.route.on_context_length and isinstance(error, ContextTooLong)

    def next(self, error: GatewayError) -> Target:
        """Who is asked after `error`."""
        self.left = (*self.left, (self.target.model, error.code or error.outcome))
        self.final(error)
        self._at += 1
        self.target = self._targets[self._at]
        return self.target

    def final(self, error: GatewayError) -> GatewayError:
        """What the caller is told when `error` is the last: the first there was, about the model that it asked for.

        But none that says to try again, once engines have worked.
        """
        first = self._error
        if first is None or (first.retry and isinstance(error, UpstreamError) and not error.retry):
            self._error = first = error
        return first
