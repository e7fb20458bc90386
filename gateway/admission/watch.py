"""What admission tells of itself to whoever counts."""

from __future__ import annotations

from typing import Protocol

from gateway.core.call import Tier


class Watch(Protocol):
    """Told of what happens to those who do not get a slot at once. `model` is a public name there is."""

    def granted(self, model: str, tier: Tier, waited: float, predicted: float | None) -> None:
        """One has a slot after `waited` seconds; `predicted` is what it was thought to wait, where that was known."""
        ...

    def evicted(self, model: str, tier: Tier, reason: str) -> None:
        """One that waited was put out, for `reason`: a word of a closed list."""
        ...

    def rejected(self, model: str, tier: Tier, reason: str) -> None:
        """One was not let in."""
        ...


class Unwatched:
    """Nobody counts."""

    def granted(self, model: str, tier: Tier, waited: float, predicted: float | None) -> None:
        """See `Watch.granted`."""

    def evicted(self, model: str, tier: Tier, reason: str) -> None:
        """See `Watch.evicted`."""

    def rejected(self, model: str, tier: Tier, reason: str) -> None:
        """See `Watch.rejected`."""


_: type[Watch] = Unwatched
