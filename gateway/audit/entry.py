"""One entry of the audit log: its fields, its bytes and its hash.

The canonical bytes of an entry are its compact JSON with the fields in the order of `Entry`, without `hash`. The hash is
SHA-256 of them; since they hold the hash of the entry before, each hash vouches for all that stands above it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

FIRST = "0" * 64
"""The hash before the first entry."""
BEGUN = "begun"
"""The outcome of what is about to be done: its own outcome is an entry of its own, unless it was cut short."""
LONGEST_FIELD = 256
"""Characters of one field: a caller cannot fill the log with one name."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """What was done or tried. `before` and `after` are hashes of the object's state, `None` where there is none."""

    actor: str
    role: str | None
    action: str
    object: str | None = None
    before: str | None = None
    after: str | None = None
    address: str | None = None
    request_id: str | None = None
    outcome: str = "ok"
    """`ok`, the code of the error, or `begun` for what is about to be done."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A deed in its place in the chain. `at` is the time in UTC (ISO 8601)."""

    seq: int
    at: str
    actor: str
    role: str | None
    action: str
    object: str | None
    before: str | None
    after: str | None
    address: str | None
    request_id: str | None
    outcome: str
    prev: str
    hash: str = ""


def entry_of(deed: Deed, *, seq: int, at: str, prev: str) -> Entry:
    """The entry of `deed` behind the one whose hash is `prev`."""
    fields = {name: _cut(value) for name, value in msgspec.structs.asdict(deed).items()}
    entry = Entry(seq=seq, at=at, prev=prev, **fields)
    return msgspec.structs.replace(entry, hash=hash_of(entry))


def hash_of(entry: Entry) -> str:
    """The hash that `entry` ought to have."""
    fields = msgspec.structs.asdict(entry)
    del fields["hash"]
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def line_of(entry: Entry) -> bytes:
    """The entry as a line."""
    return msgspec.json.encode(entry) + b"\n"


def state_hash(state: Any) -> str | None:
    """The hash of an object's state, whose JSON it is of; `None` of `None`. Keys are sorted."""
    if state is None:
        return None
    return hashlib.sha256(msgspec.json.encode(state, order="sorted")).hexdigest()


def _cut(value: Any) -> Any:
    return value[:LONGEST_FIELD] if isinstance(value, str) else value
