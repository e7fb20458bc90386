"""The events of vLLM's prefix cache as they are published (vLLM 0.32, `distributed/kv_events.py`)."""

from __future__ import annotations

from typing import Any

import msgspec

BlockHash = int | bytes
"""The engine's own name for a block: we only compare it."""


class BlockStored(msgspec.Struct, frozen=True, tag=True):
    """Blocks that follow each other came into the cache, or were used again."""

    block_hashes: list[BlockHash]
    token_ids: list[int]
    block_size: int
    """Tokens of one block."""
    parent_block_hash: BlockHash | None = None
    medium: str | None = None
    lora_name: str | None = None
    extra_keys: list[list[Any] | None] | None = None
    """What else each block is told apart by: the adapter, pictures, and for the first block the salt."""
    group_idx: int | None = None


class BlockRemoved(msgspec.Struct, frozen=True, tag=True):
    """Blocks were dropped."""

    block_hashes: list[BlockHash]
    medium: str | None = None
    group_idx: int | None = None


class AllBlocksCleared(msgspec.Struct, frozen=True, tag=True):
    """The cache is empty."""


Event = BlockStored | BlockRemoved | AllBlocksCleared


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What one step of the engine did to its cache."""

    ts: float
    """Unix seconds by the engine's clock."""
    events: list[Event]
    data_parallel_rank: int | None = None


_DECODER = msgspec.msgpack.Decoder(Batch)


def read_batch(payload: bytes) -> Batch:
    """Read what was published. Raises `msgspec.DecodeError`: `ValidationError` for what we do not know."""
    return _DECODER.decode(payload)
