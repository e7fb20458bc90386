"""The retry rule over its whole input space."""

from __future__ import annotations

import itertools

from gateway.proxy.retry import (
    MAX_DISPATCHES,
    MAX_REPLAYED_BYTES,
    UNTOUCHED,
    Decision,
    Fault,
    Situation,
    decide,
)

SPACE = list(
    itertools.product(
        Fault,
        (
            Situation(
                dispatches=dispatches,
                content_sent=content_sent,
                resent=resent,
                is_ready=is_ready,
                body_bytes=body_bytes,
                is_suspect=is_suspect,
                time_left=time_left,
                usual_wait=1.0,
                has_budget=has_budget,
            )
            for (
                dispatches,
                content_sent,
                resent,
                is_ready,
                body_bytes,
                is_suspect,
                time_left,
                has_budget,
            ) in itertools.product(
                (1, 2, 3),
                (False, True),
                (False, True),
                (False, True),
                (0, MAX_REPLAYED_BYTES, MAX_REPLAYED_BYTES + 1),
                (False, True),
                (0.5, 1.0, 1.5),
                (False, True),
            )
        ),
    )
)


def expected(fault: Fault, case: Situation) -> Decision:
    """The rule again, as a table is read: first row that fits."""
    rows = [
        (case.content_sent, Decision.GIVE_UP),
        (fault in {Fault.TIMEOUT, Fault.OURS}, Decision.GIVE_UP),
        (fault is Fault.STALE and case.is_ready and not case.resent, Decision.RESEND),
        (case.time_left <= case.usual_wait, Decision.GIVE_UP),
        (fault in {Fault.BUSY, Fault.REFUSED}, Decision.MOVE),
        (case.dispatches >= 2, Decision.GIVE_UP),
        (case.body_bytes > 1024 * 1024, Decision.GIVE_UP),
        (case.is_suspect, Decision.GIVE_UP),
        (not case.has_budget, Decision.GIVE_UP),
        (True, Decision.MOVE),
    ]
    return next(decision for fits, decision in rows if fits)


def test_every_case() -> None:
    assert len(SPACE) == 9 * 864
    for fault, case in SPACE:
        assert decide(fault, case) is expected(fault, case), (fault, case)


def test_nothing_is_sent_again_once_content_was_sent() -> None:
    assert {decide(fault, case) for fault, case in SPACE if case.content_sent} == {Decision.GIVE_UP}


def test_dispatches_are_bounded_whatever_fails_how() -> None:
    """Every sequence of faults that engines worked on ends after two dispatches and one replaced connection."""
    for faults in itertools.product(set(Fault) - UNTOUCHED, repeat=4):
        dispatches, resent, sent = 1, False, 1
        for fault in faults:
            decision = decide(fault, Situation(dispatches=dispatches, resent=resent))
            if decision is Decision.GIVE_UP:
                break
            sent += 1
            resent = resent or decision is Decision.RESEND
            dispatches += decision is Decision.MOVE
        else:
            raise AssertionError(f"{faults} never ends")
        assert dispatches <= MAX_DISPATCHES
        assert sent <= MAX_DISPATCHES + 1
