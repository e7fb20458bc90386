"""How many calls a replica may hold: a limit for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.admission.limits.adaptive import Adaptive
from gateway.admission.limits.base import Limit
from gateway.admission.limits.fixed import Fixed

LIMITS: Mapping[str, Callable[[], Limit]] = {"fixed": Fixed, "adaptive": Adaptive}
"""Name, as in the configuration → limit."""

__all__ = ["LIMITS", "Adaptive", "Fixed", "Limit"]
