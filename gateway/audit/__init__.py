"""Who changed what, and who was refused: an append-only log in which nothing can be changed or left out unseen."""

from gateway.audit.entry import Deed, Entry
from gateway.audit.log import AuditError, AuditLog, Head

__all__ = ["AuditError", "AuditLog", "Deed", "Entry", "Head"]
