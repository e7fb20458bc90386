"""Who used what: one record for each call that reached an engine, whatever ended it.

A record is on its way to disk when its call is sent, and complete when the call ends. From the spool, a folder of this
process alone, records are moved into the database.
"""

from gateway.ledger.ledger import Ledger, Open

__all__ = ["Ledger", "Open"]
