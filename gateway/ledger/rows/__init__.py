"""The ledger in the database, as the clerk writes it: one row for each call, and sums by day and month.

Written with the databases' own drivers: SQLAlchemy would be most of a small process's memory.
"""

from gateway.ledger.rows.base import Away, Behind, Kept, Refused, Rows

__all__ = ["Away", "Behind", "Kept", "Refused", "Rows"]
