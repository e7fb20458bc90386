"""I2, I9 and the clients' side of I10: what a client was told is true, its own, and came."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from simulation.actors import frames
from simulation.actors.frames import MARKER
from simulation.actors.gateway import BODY_SECONDS
from simulation.actors.history import Asked, Dispatch, Seen
from simulation.invariants.fairness import deserves_an_answer, is_undisturbed
from simulation.invariants.violation import Violation
from simulation.schedule import Schedule

OK = 200
SLACK_SECONDS = 3.0
"""Sweeps come twice a second, wires take their time."""
_OBJECT = re.compile(rb"^(data: )?\{", re.MULTILINE)
INTERRUPTED = b'"code":"stream_interrupted"'


def judge_answers(schedule: Schedule, asked: Asked, dispatches: Sequence[Dispatch]) -> Iterator[Violation]:
    """Judge one request's answer, or that there is none."""
    yield from _judge_patience(schedule, asked)
    answer = asked.answer
    if answer is None:
        return
    body = bytes(answer.body)
    for found in set(MARKER.findall(body)) - {asked.marker.encode()}:
        yield Violation("I9", f"{asked.marker} got an answer to {found.decode()}")
    if b"key-engine" in body or b"10.0.0." in body or b"/engines/" in body:
        yield Violation("I9", f"{asked.marker} was told an engine's address or key")
    if asked.plan.control:
        return
    if answer.status != OK:
        yield from _judge_error(asked, answer, body)
    elif answer.is_complete:
        if not any(each.is_complete and _shown(schedule, asked, each) == body for each in dispatches):
            yield Violation(
                "I2", f"{asked.marker} saw a normal end of what no engine answered: {body[-300:]!r}"
            )
    else:
        yield from _judge_broken(schedule, asked, body, dispatches)


def _judge_error(asked: Asked, answer: Seen, body: bytes) -> Iterator[Violation]:
    """An error is in the API's shape, and says whether to try again."""
    if not answer.is_complete:
        return
    try:
        error: Any = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
        yield Violation("I2", f"{asked.marker} got an error in no known shape: {body[:300]!r}")
    if b"x-should-retry" not in answer.headers:
        yield Violation("I2", f"{asked.marker} got an error without x-should-retry")


def _judge_broken(
    schedule: Schedule, asked: Asked, body: bytes, dispatches: Sequence[Dispatch]
) -> Iterator[Violation]:
    """A stream that does not end well is the beginning of one engine's answer, and says so if it can."""
    shown, error, rest = body, b"", b""
    at = body.find(b'data: {"error"')
    if at >= 0:
        shown, error = body[:at], body[at:]
        error, _, rest = error.partition(b"\n\n")
    elif not is_undisturbed(schedule, asked):  # may have been cut anywhere, in our own error too
        shown = body[: body.rfind(b"\n\n") + 2]
    if not any(_shown(schedule, asked, each).startswith(shown) for each in dispatches):
        yield Violation("I2", f"{asked.marker} saw a beginning of no engine's answer: {shown[-300:]!r}")
    if rest or (error and is_undisturbed(schedule, asked) and INTERRUPTED not in error):
        yield Violation("I2", f"{asked.marker} saw something else than our error at the end: {body[at:]!r}")
    if is_undisturbed(schedule, asked) and not error:
        yield Violation("I2", f"{asked.marker} saw a stream end without a word: {body[-300:]!r}")


def _judge_patience(schedule: Schedule, asked: Asked) -> Iterator[Violation]:
    """Whoever asked properly has got an answer, or has been told otherwise, in time."""
    if asked.sent_whole is None or not is_undisturbed(schedule, asked):
        return
    settings = schedule.settings
    requests = len(asked.client.requests) if asked.client.is_pipelining else 1
    patience = requests * (settings.total + settings.stall + SLACK_SECONDS) + BODY_SECONDS
    if asked.over_at is None or asked.over_at - asked.sent_whole > patience:
        yield Violation("I10", f"{asked.marker} had nothing after {patience:.1f} s")
    elif asked.answer is None and deserves_an_answer(schedule, asked):
        yield Violation("I10", f"{asked.marker} lost its connection without an answer")


def _shown(schedule: Schedule, asked: Asked, dispatch: Dispatch) -> bytes:
    """What this client may be shown of an answer: under its model's public name, without what it did not ask for.

    That is the name it asked for, also where that is split; a stand-in's own.
    """
    is_split = schedule.settings.route == "split" and asked.plan.model == "alpha"
    name = asked.plan.model if is_split else dispatch.model.removesuffix("-weights")
    shown = dispatch.shown.replace(b'"model":"%b"' % dispatch.model.encode(), b'"model":"%b"' % name.encode())
    if asked.plan.stream and not asked.plan.usage:
        events = shown.split(b"\n\n")
        shown = b"\n\n".join([event for event in events if not frames.is_usage(event)])
    if asked.plan.tier is not None:
        shown = _OBJECT.sub(rb'\1{"service_tier":"%b",' % asked.plan.tier.encode(), shown)
    return shown
