"""How a block of tokens is known to us: by a number made of its tokens and of all blocks before it.

Engines have hashes of their own for that, which differ with their settings and versions. Events bring the tokens along,
so there is no need to know how an engine makes its hashes.
"""

from __future__ import annotations

ROOT = 0
"""Before the first block."""


def extended(last: int, tokens: tuple[int, ...], other: object = None) -> int:
    """The number of the block that has `tokens` and follows the block `last`.

    `other` is what else the engine tells blocks apart by: pictures, for instance. Whoever does not know it makes another
    number, and finds nothing.
    """
    return hash((last, tokens)) if other is None else hash((last, tokens, other))
