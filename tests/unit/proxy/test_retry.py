"""The retry rule over its whole input space."""

from __future__ import annotations

import itertools

import pytest

from gateway.proxy.retry import MAX_DISPATCHES, Decision, Fault, decide

SPACE = list(itertools.product(Fault, (False, True), (1, 2, 3), (False, True)))


def expected(fault: Fault, content_sent: bool, dispatches: int, resent: bool) -> Decision:
    """The rule again, as a table is read: first row that fits."""
    rows = [
        (content_sent, Decision.GIVE_UP),
        (fault is Fault.STALE and not resent, Decision.RESEND),
        (fault is Fault.TIMEOUT, Decision.GIVE_UP),
        (dispatches >= 2, Decision.GIVE_UP),
        (True, Decision.MOVE),
    ]
    return next(decision for fits, decision in rows if fits)


@pytest.mark.parametrize(("fault", "content_sent", "dispatches", "resent"), SPACE)
def test_every_case(fault, content_sent, dispatches, resent) -> None:
    found = decide(fault, content_sent=content_sent, dispatches=dispatches, resent=resent)
    assert found is expected(fault, content_sent, dispatches, resent)


def test_nothing_is_sent_again_once_content_was_sent() -> None:
    assert {
        decide(fault, content_sent=True, dispatches=dispatches, resent=resent)
        for fault, _, dispatches, resent in SPACE
    } == {Decision.GIVE_UP}


def test_dispatches_are_bounded_whatever_fails_how() -> None:
    """Every sequence of faults ends after two dispatches and one replaced connection."""
    for faults in itertools.product(Fault, repeat=4):
        dispatches, resent, sent = 1, False, 1
        for fault in faults:
            decision = decide(fault, content_sent=False, dispatches=dispatches, resent=resent)
            if decision is Decision.GIVE_UP:
                break
            sent += 1
            resent = resent or decision is Decision.RESEND
            dispatches += decision is Decision.MOVE
        else:
            raise AssertionError(f"{faults} never ends")
        assert dispatches <= MAX_DISPATCHES
        assert sent <= MAX_DISPATCHES + 1
