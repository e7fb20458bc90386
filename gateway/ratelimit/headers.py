"""OpenAI's headers on limits: how much, how much of it is left, and when all of it is back."""

from __future__ import annotations

from typing import TypeAlias

from gateway.ratelimit.base import Rule, Unit

Header: TypeAlias = tuple[bytes, bytes]
Headers: TypeAlias = list[Header]


def shown(rule: Rule) -> tuple[Header, bytes, Header]:
    """What headers say of `rule` whatever it has left, and the name of the one that says that."""
    kind = _kind(rule)
    after = duration(rule.period) if isinstance(rule.period, float) else b"0s"
    limit = (b"x-ratelimit-limit-%b" % kind, b"%d" % rule.limit)
    return limit, b"x-ratelimit-remaining-%b" % kind, (b"x-ratelimit-reset-%b" % kind, after)


def of_refusal(rule: Rule, after: float) -> Headers:
    """What headers say of a rule that has room again `after` seconds. Of requests none is left, of tokens too few."""
    limit, remaining, (reset, _) = shown(rule)
    left = [(remaining, b"0")] if rule.unit is Unit.REQUESTS else []
    return [limit, *left, (reset, duration(after))]


def duration(seconds: float) -> bytes:
    """A time as OpenAI writes it: `20ms`, `1.5s`, `6m0s`, `1h0m0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < _SECOND:
        return b"%dms" % milliseconds
    minutes, rest = divmod(milliseconds, 60 * _SECOND)
    shown_seconds = f"{rest / _SECOND:g}s".encode()
    if not minutes:
        return shown_seconds
    hours, minutes = divmod(minutes, 60)
    return (b"%dh" % hours if hours else b"") + b"%dm" % minutes + shown_seconds


def _kind(rule: Rule) -> bytes:
    return b"requests" if rule.unit is Unit.REQUESTS else b"tokens"


_SECOND = 1000
