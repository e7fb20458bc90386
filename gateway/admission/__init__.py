"""From a call to a hold on a replica: at once, after waiting, or not at all."""

from gateway.admission.admission import Admission
from gateway.admission.lease import Ended, Lease
from gateway.admission.ordering import Ticket, Waiter

__all__ = ["Admission", "Ended", "Lease", "Ticket", "Waiter"]
