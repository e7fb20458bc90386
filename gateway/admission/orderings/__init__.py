"""Who goes next: an ordering for each queue."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.admission.orderings.base import Ordering
from gateway.admission.orderings.fair import Fair
from gateway.admission.orderings.fifo import Fifo

ORDERINGS: Mapping[str, Callable[[], Ordering]] = {"fair": Fair, "fifo": Fifo}
"""Name, as in the configuration → ordering."""

__all__ = ["ORDERINGS", "Fair", "Fifo", "Ordering"]
