"""The contract of a discovery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.fleet.endpoint import Sighting

Publish = Callable[[Sequence[Sighting]], None]
"""Takes everything the discovery sees now, as a whole: what is left out is gone."""


class Discovery(Protocol):
    """Follows a source of endpoints until cancelled."""

    name: str

    async def watch(self, publish: Publish) -> None:
        """Publish at once what can be known without waiting, then after each change.

        Never returns. A source that cannot be read for a while is logged and tried again, and what was last published
        stands: losing sight of engines is no proof that they are gone.
        """
        ...
