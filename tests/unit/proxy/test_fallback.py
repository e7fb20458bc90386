"""What is a reason to ask another model, and what the caller is told when none serves it."""

from __future__ import annotations

import pytest

from gateway.core import errors
from gateway.core.call import Envelope, Principal
from gateway.fleet.routes import Route, Routes, Share
from gateway.proxy.fallback import MOST_ENGINES, Chain, may_go_on
from gateway.proxy.retry import MAX_REPLAYED_BYTES, Fault, Situation

ASKED = Envelope("chat", stream=False, strip_usage=False, body=b"{}", stripped=b"")
ANYBODY = Principal("team", "key")
NO_REPLICA = errors.NoReplica("none of chat")


def chain(
    route: Route,
    *,
    principal: Principal = ANYBODY,
    may_fall_back: bool = True,
    others: Routes = Routes(),  # noqa: B008 - a frozen value
) -> Chain:
    return Chain(route, others, principal, ASKED, 1, may_fall_back=may_fall_back)


def way(made: Chain) -> list[str]:
    """All models that it comes by."""
    found = [made.target.model]
    while made.goes_on_for(NO_REPLICA):
        found.append(made.next(NO_REPLICA).model)
    return found


@pytest.mark.parametrize(
    "error",
    [
        errors.NoReplica("x"),
        errors.QueueFull("x"),
        errors.TooLate("x"),
        errors.QueueTimeout("x"),
        errors.Displaced("x"),
        errors.ConnectFailed("x"),
        errors.UpstreamLost("x"),
        errors.UpstreamTimeout("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_model_cannot_do_now_another_may(error) -> None:
    assert chain(Route("chat", (), ("other",))).goes_on_for(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest("x"),
        errors.ContextTooLong("x"),
        errors.RateLimited("x"),
        errors.QuotaExceeded("x"),
        errors.Quarantined("x"),
        errors.DeadlineExceeded("x"),
        errors.CutShort("x"),
        errors.Draining("x"),
        errors.Exhausted("x"),
        errors.StoreUnavailable("x"),
        errors.LimitsUnavailable("x"),
        errors.GatewayError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_callers_own_and_ours_are_no_reason(error) -> None:
    made = chain(Route("chat", (), ("other", "third")))
    assert not made.goes_on_for(error)
    made.next(NO_REPLICA)
    assert made.goes_on_for(error)  # of a model that it did not ask for


def test_too_long_is_a_reason_where_that_is_wanted() -> None:
    error = errors.ContextTooLong("x")
    assert chain(Route("chat", (), ("other",), on_context_length=True)).goes_on_for(error)


def test_fallbacks_are_asked_in_order_each_once_and_only_those_the_caller_may_use() -> None:
    route = Route("chat", (Share.of("a", 1),), ("b", "secret", "a", "c"))
    lab = Principal("team", "key", models=frozenset({"chat", "b", "c"}))
    assert way(chain(route, principal=lab)) == ["a", "b", "c"]
    assert way(chain(route, principal=lab, may_fall_back=False)) == ["a"]
    assert way(chain(route)) == ["a", "b", "secret", "c"]


def test_two_that_stand_in_for_each_other_go_round_in_no_circle() -> None:
    one, two = Route("chat", (), ("other",)), Route("other", (), ("chat",))
    assert way(chain(one, others=Routes({"chat": one, "other": two}))) == ["chat", "other"]


def test_the_caller_is_told_of_the_model_that_it_asked_for() -> None:
    made = chain(Route("chat", (), ("other",)))
    made.next(NO_REPLICA)
    assert made.final(errors.InvalidRequest("more than other may")) is NO_REPLICA
    assert made.left == (("chat", "model_unavailable"),)


def test_but_not_to_try_again_when_an_engine_worked_on_it() -> None:
    made, lost = chain(Route("chat", (), ("other",))), errors.UpstreamLost("x")
    made.next(NO_REPLICA)
    assert made.final(lost) is lost
    assert made.final(errors.UpstreamTimeout("later")) is lost


@pytest.mark.parametrize(
    ("fault", "situation", "goes_on"),
    [
        (Fault.LOST, Situation(1), True),
        (Fault.TIMEOUT, Situation(1), True),
        (Fault.LOST, Situation(MOST_ENGINES - 1), True),
        (Fault.LOST, Situation(MOST_ENGINES), False),
        (Fault.BUSY, Situation(MOST_ENGINES, has_budget=False), True),
        (Fault.LOST, Situation(1, has_budget=False), False),
        (Fault.LOST, Situation(1, body_bytes=MAX_REPLAYED_BYTES + 1), False),
        (Fault.LOST, Situation(1, is_suspect=True), False),
        (Fault.LOST, Situation(1, content_sent=True), False),
        (Fault.OURS, Situation(1), False),
    ],
)
def test_what_engines_failed_goes_on_within_the_bounds_of_a_retry(fault, situation, goes_on) -> None:
    assert may_go_on(fault, situation) is goes_on
