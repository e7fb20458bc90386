"""Whether the ledger and the engines agree: tokens by the engines' own counters, less tokens in the ledger.

Counted from the first look on, or from the engine's start if it was started since. More than nothing means that an engine
worked for somebody who did not come through this gateway, or that rows were estimated too low. What runs at the moment of
a look counts as far as its stream has come, so that a drift of busy engines is off by the tokens in flight, and goes away
when they rest; one that stays is real.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.ledger.ledger import Ledger


class Tokens(NamedTuple):
    """Of one replica."""

    prompt: int
    completion: int

    def less(self, other: Tokens) -> Tokens:
        """The difference, in each."""
        return Tokens(self.prompt - other.prompt, self.completion - other.completion)


class Reconciler:
    """Compares `ledger` with what engines say."""

    def __init__(self, ledger: Ledger) -> None:
        self.drift: dict[str, Tokens] = {}
        """Replica → the engine's tokens less the ledger's."""
        self._ledger = ledger
        self._base: dict[str, Tokens] = {}
        self._said: dict[str, Tokens] = {}

    def compare(self, replica: str, prompt: int, completion: int) -> None:
        """Look at one engine, which says that it has taken in and made so many tokens since its start."""
        said, known = Tokens(prompt, completion), Tokens(*self._ledger.tokens(replica))
        before = self._said.get(replica)
        self._said[replica] = said
        if before is None or said.prompt < before.prompt or said.completion < before.completion:
            self._base[replica] = said.less(known)
        self.drift[replica] = said.less(known).less(self._base[replica])

    def forget(self, gone: set[str]) -> None:
        """Leave out replicas that are no more."""
        for replica in gone:
            for kept in (self.drift, self._base, self._said):
                kept.pop(replica, None)
