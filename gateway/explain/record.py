"""What is kept of one call.

Kept as a plain tuple of numbers and texts, and given this form when somebody asks: the garbage collector stops looking
at such tuples (`gc.is_tracked`), so that tens of thousands of them do not lengthen its passes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway.core.outcome import Attempt, Choice, End, Trail

BASE_BYTES = 768
"""What a record of one attempt takes, about: a tuple of 31, a dozen numbers, the id's and the address's heads."""
ATTEMPT_BYTES = 192
CANDIDATE_BYTES = 160
TERM_BYTES = 32


class Record(NamedTuple):
    """One call that is over. Times are monotonic seconds, `None` where it never got so far. No text of the request."""

    id: str
    operation: str
    tenant: str | None
    key: str | None
    """The key's public id."""
    client: str | None
    model: str | None
    asked: str | None
    """The name that the caller gave, where a route decides which model serves it."""
    stream: bool
    tier: int | None
    outcome: str
    status: int
    code: str | None
    fault: str | None
    replica: str | None
    attempts: int
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    arrived: float
    deadline: float | None
    parsed: float | None
    queued: float | None
    waited: float
    dispatched: float | None
    first_content: float | None
    ended: float
    left: tuple[tuple[str, str], ...]
    """Models that did not serve it, each with the code of the reason."""
    former: tuple[Attempt, ...]
    choice: Choice | None


_NO_TRAIL = Trail(None, None, None, None, 0.0, (), None, None, ())


def kept(end: End) -> tuple[Any, ...]:
    """The fields of a `Record` of `end`, in their order."""
    principal, usage, trail = end.principal, end.usage, end.trail
    tenant, key = (None, None) if principal is None else (principal.tenant, principal.key_id)
    prompt, completion, cached = (None, None, None) if usage is None else usage
    tier, deadline, parsed, queued, waited, former, fault, choice, left = (
        _NO_TRAIL if trail is None else trail
    )
    return (
        end.request_id,
        end.operation,
        tenant,
        key,
        end.client,
        end.model,
        end.asked,
        end.stream,
        None if tier is None else int(tier),
        end.outcome._value_,  # the text itself; `.value` takes ten times as long
        end.status,
        end.code,
        fault,
        end.replica,
        end.attempts,
        prompt,
        cached,
        completion,
        end.arrived,
        deadline,
        parsed,
        queued,
        waited,
        end.dispatched,
        end.first_content,
        end.ended,
        left,
        former,
        None if choice is None else tuple(choice),
    )


def told(fields: tuple[Any, ...]) -> Record:
    """The record of what was `kept`."""
    record = Record._make(fields)
    return record if record.choice is None else record._replace(choice=Choice._make(record.choice))


def size_of(fields: tuple[Any, ...]) -> int:
    """Bytes that a kept record takes, about and rather too many."""
    size = BASE_BYTES + len(fields[0])
    former, choice = fields[-2], fields[-1]
    if choice is not None:
        size += _size_of_choice(choice)
    for attempt in former:
        size += ATTEMPT_BYTES + (0 if attempt.choice is None else _size_of_choice(attempt.choice))
    return size


def _size_of_choice(choice: tuple[Any, ...]) -> int:
    terms, candidates = choice[0], choice[1]
    return len(candidates) * (CANDIDATE_BYTES + TERM_BYTES * len(terms))
