"""From a call to a hold on a replica: at once, after waiting, or not at all."""

from gateway.admission.admission import Admission
from gateway.admission.cost import Costs
from gateway.admission.lease import Ended, Lease
from gateway.admission.limits import LIMITS, Limit
from gateway.admission.orderings import ORDERINGS, Fair, Fifo, Ordering
from gateway.admission.queue import Bounds
from gateway.admission.ticket import Ticket, Waiter
from gateway.admission.watch import Watch

__all__ = [
    "LIMITS",
    "ORDERINGS",
    "Admission",
    "Bounds",
    "Costs",
    "Ended",
    "Fair",
    "Fifo",
    "Lease",
    "Limit",
    "Ordering",
    "Ticket",
    "Waiter",
    "Watch",
]
