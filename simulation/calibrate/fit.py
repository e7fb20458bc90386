"""From measured waits to the parameters of the model. Knows no engine and no clock.

Medians, not means, and the least of what a straight line leaves: a machine that others use makes single steps longer,
never shorter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen, in seconds."""

    prefills: Mapping[int, Sequence[float]]
    """Tokens of a prompt that came alone → the engine's own time for it."""
    around: Sequence[float]
    """What callers waited beyond that for a first token."""
    steps: Mapping[int, Sequence[float]]
    """Answers at the same time → the engine's own time for a token of each, with short prompts."""
    long_steps: Sequence[float]
    """The same for one answer with `long_context` tokens before it."""
    long_context: int
    short_context: int


@dataclass(frozen=True, slots=True)
class Parameters:
    """The measured part of a `Speed`, in milliseconds."""

    step_ms: float
    prefill_token_ms: float
    sequence_ms: float
    kilotoken_ms: float
    request_ms: float


def fit(measured: Measured) -> Parameters:
    """The parameters that explain best what was measured; none is negative."""
    slope, intercept = _line({count: median(steps) for count, steps in measured.steps.items()})
    alone = median(measured.steps[min(measured.steps)])
    more_context = measured.long_context - measured.short_context
    context = max(0.0, (median(measured.long_steps) - alone) / more_context)
    step = max(intercept - context * measured.short_context, alone / 10)
    token, _ = _line({tokens: median(times) for tokens, times in measured.prefills.items()})
    return Parameters(
        step_ms=_ms(step),
        prefill_token_ms=_ms(max(token, 0.0)),
        sequence_ms=_ms(max(slope, 0.0)),
        kilotoken_ms=_ms(context * 1000),
        request_ms=_ms(max(median(measured.around), 0.0)),
    )


def _line(points: Mapping[int, float]) -> tuple[float, float]:
    return linear_regression(list(points), list(points.values()))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)
