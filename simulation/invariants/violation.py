"""One broken promise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """`invariant` (I1 to I10) does not hold; `what` says how."""

    invariant: str
    what: str
