"""An engine's KV cache: blocks that are held, blocks that are kept for their content, and blocks that are blank.

After vLLM V1's block pool: a full block is known by a key that stands for all tokens up to its end, so two prompts that
begin alike share blocks; a block that nobody holds keeps its content until its room is needed, the one idle for longest
first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence


class Blocks:
    """Counts and keys only. `held + idle + blank` is `total` at any time."""

    __slots__ = ("_blank", "_idle", "_keyed", "_loose", "total")

    def __init__(self, total: int) -> None:
        self.total = total
        self._blank = total
        self._loose = 0
        """Held, and not known by a key: not full yet, or the second of the same content."""
        self._keyed: dict[int, int] = {}
        """Key of a held block → how many hold it."""
        self._idle: OrderedDict[int, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Blocks {self.held} held, {len(self._idle)} idle, {self._blank} blank of {self.total}>"

    @property
    def held(self) -> int:
        """Blocks that sequences hold."""
        return self._loose + len(self._keyed)

    @property
    def idle(self) -> int:
        """Blocks that nobody holds and whose content can still be used."""
        return len(self._idle)

    @property
    def blank(self) -> int:
        """Blocks without content."""
        return self._blank

    @property
    def usage(self) -> float:
        """Share that is held, 0 to 1: vLLM's `kv_cache_usage_perc`."""
        return self.held / self.total

    def hits(self, keys: Sequence[int]) -> int:
        """How many of `keys`, from the first on, have a block."""
        keyed, idle = self._keyed, self._idle
        for count, key in enumerate(keys):
            if key not in keyed and key not in idle:
                return count
        return len(keys)

    def room_beside(self, hits: Iterable[int]) -> int:
        """Blocks that could be taken while those of `hits` are held."""
        idle = self._idle
        return self._blank + len(idle) - sum(key in idle for key in hits)

    def share(self, keys: Iterable[int]) -> None:
        """Hold blocks that are there."""
        keyed, idle = self._keyed, self._idle
        for key in keys:
            if key in keyed:
                keyed[key] += 1
            else:
                del idle[key]
                keyed[key] = 1

    def take(self, count: int) -> bool:
        """Hold `count` new blocks, or none if there are fewer."""
        short = count - self._blank
        if short > len(self._idle):
            return False
        for _ in range(short):
            self._idle.popitem(last=False)
        self._blank -= count - max(short, 0)
        self._loose += count
        return True

    def name(self, key: int) -> bool:
        """Make a held block known by `key`. `False` when another has that content already: it stays unknown."""
        if key in self._keyed or key in self._idle:
            return False
        self._loose -= 1
        self._keyed[key] = 1
        return True

    def release(self, keys: Sequence[int], loose: int) -> None:
        """Give back what a sequence held, the end of it first: what others share is given up last."""
        self._loose -= loose
        self._blank += loose
        keyed = self._keyed
        for key in reversed(keys):
            holders = keyed[key]
            if holders > 1:
                keyed[key] = holders - 1
            else:
                del keyed[key]
                self._idle[key] = None
