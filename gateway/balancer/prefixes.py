"""What each replica was sent, in blocks: a guess at what its engine has in its prefix cache.

A prompt is cut into blocks of fixed length, each known by a hash of itself and all before it. A block belongs to its
tenant alone: the chain begins with the tenant, so that one tenant's prompts say nothing of another's. Engines tell
nobody what they drop; hence each replica keeps as many blocks as its engine has room for, the latest used, and loses all
of them when its engine starts anew. How good the guess is shows afterwards: see `Trust`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gateway.core.call import Call
from gateway.fleet.replica import Replica

BLOCK_BYTES = 256
"""About 64 tokens: four blocks of an engine's own."""
MOST_BLOCKS = 128
"""Of one prompt; what follows is taken for new."""
MOST_OF_ONE = 8192
"""Blocks of one replica."""
MOST_OF_ALL = 262_144
_MESSAGES, _PROMPT = b'"messages":', b'"prompt":'


def prompt_start(body: bytes) -> int:
    """Where in a body the prompt begins; 0 when that cannot be told."""
    start = body.find(_MESSAGES)
    return max(0, start if start >= 0 else body.find(_PROMPT))


def blocks_of(call: Call) -> list[int]:
    """The whole blocks of the call's prompt, each with all before it."""
    body = call.envelope.body
    start = prompt_start(body)
    chain: list[int] = []
    last = hash(("tenant", call.principal.tenant))
    for at in range(start, min(len(body), start + MOST_BLOCKS * BLOCK_BYTES) - BLOCK_BYTES + 1, BLOCK_BYTES):
        last = hash((last, body[at : at + BLOCK_BYTES]))
        chain.append(last)
    return chain


class Prefixes:
    """What all replicas of one model were sent. Bounded: the oldest blocks go first."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        return sum(len(known.blocks) for known in self._known.values())

    def matched(self, replica: Replica, chain: Sequence[int]) -> int:
        """How many of the first blocks of `chain` the replica was sent before."""
        if not chain:
            return 0
        known = self._known.get(replica.endpoint.id)
        if known is None or known.replica is not replica or known.epoch != replica.epoch:
            return 0
        blocks = known.blocks
        if chain[0] not in blocks:
            return 0
        # A block is never there without all before it: what is used is used with them, and they are the last to go.
        low, high = 1, len(chain)
        while low < high:
            middle = (low + high + 1) // 2
            if chain[middle - 1] in blocks:
                low = middle
            else:
                high = middle - 1
        return low

    def sent(self, replica: Replica, chain: Sequence[int]) -> None:
        """The replica is sent a prompt of these blocks."""
        known = self._known.get(replica.endpoint.id)
        if known is None or known.replica is not replica or known.epoch != replica.epoch:
            known = self._known[replica.endpoint.id] = _Known(replica)
        blocks = known.blocks
        for block in reversed(chain):
            blocks[block] = None
            blocks.move_to_end(block)
        most = min(_room(replica), MOST_OF_ALL // len(self._known))
        while len(blocks) > most:
            blocks.popitem(last=False)

    def keep(self, replicas: Sequence[Replica]) -> None:
        """Forget those that are not among `replicas`."""
        names = {replica.endpoint.id for replica in replicas}
        for name in [name for name in self._known if name not in names]:
            del self._known[name]


class _Known:
    """What one replica was sent since its engine started."""

    __slots__ = ("blocks", "epoch", "replica")

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.epoch = replica.epoch
        self.blocks: OrderedDict[int, None] = OrderedDict()


def _room(replica: Replica) -> int:
    """Blocks that the engine's cache has room for, as far as it tells: four bytes to a token."""
    load = replica.load
    if load is None or load.kv_tokens is None:
        return MOST_OF_ONE
    return max(MOST_BLOCKS, min(MOST_OF_ONE, load.kv_tokens * 4 // BLOCK_BYTES))
