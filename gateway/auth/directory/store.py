"""The contract of the place in which the dynamic part of a directory is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.auth.directory.contents import Contents

Edit = Callable[[Contents], Contents]
"""From what is there to what shall be; may be called more than once, and may refuse by raising."""


class Store(Protocol):
    """Keeps contents. Others may write to the same place: each change is made on what is there at that moment."""

    async def fetch(self) -> Contents | None:
        """What is there now, `None` when that is what was fetched or written last.

        Raises `KeyFileError` or `StoreUnavailable` when it cannot be read.
        """
        ...

    async def change(self, edit: Edit) -> Contents:
        """Make one change, whole or not at all, and return what is there then. Raises as `fetch`, and what `edit` raises."""
        ...
