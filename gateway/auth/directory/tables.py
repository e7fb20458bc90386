"""The directory in a database: one row for each object, and one that counts the changes."""

from sqlalchemy import BigInteger, Column, SmallInteger, String, Table, Text

from gateway.store.schema import METADATA

OBJECTS = Table(
    "directory_objects",
    METADATA,
    Column("kind", String(32), primary_key=True),
    Column("id", String(128), primary_key=True),
    Column("made", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
"""`made` is the revision with which an object came; `body` is the object as JSON."""

STATE = Table(
    "directory_state",
    METADATA,
    Column("id", SmallInteger, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("pepper", String(64)),
)
"""One row. `pepper` tells whether a gateway hashes keys as the others do, and nothing else about it."""
