"""What an engine says of its own load, read off its metrics page.

Only what the gateway uses is looked for, a line at a time: such a page has 900 lines of 75 kB, and a full parser would
hold up every call. Names are those of vLLM: the older ones had `gpu_` in them. An engine of several ranks has a line
for each; they are added up, except for the share of the KV cache in use, where the fullest counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_PREFIX = b"vllm:"
_ADDED: Mapping[bytes, str] = {
    b"num_requests_running": "running",
    b"num_requests_waiting": "waiting",
    b"prefix_cache_queries_total": "prefix_queries",
    b"gpu_prefix_cache_queries_total": "prefix_queries",
    b"prefix_cache_hits_total": "prefix_hits",
    b"gpu_prefix_cache_hits_total": "prefix_hits",
    b"iteration_tokens_total_count": "steps",
    b"prompt_tokens_total": "prompt_tokens",
    b"generation_tokens_total": "generation_tokens",
    b"num_preemptions_total": "preemptions",
}
_FULLEST = frozenset({b"kv_cache_usage_perc", b"gpu_cache_usage_perc"})
_SLEEP = b"engine_sleep_state"
_SHAPE = b"cache_config_info"
_AWAKE = b'sleep_state="awake"'
_BLOCK = re.compile(rb'[{,]block_size="(\d{1,9})"')
_BLOCKS = re.compile(rb'[{,]num_gpu_blocks="(\d{1,12})"')


@dataclass(frozen=True, slots=True)
class Load:
    """One look at an engine. `None`: it did not say. Counters are since its start; tokens are tokens."""

    running: float
    """Sequences that are computed now, whoever sent them."""
    waiting: float
    kv_usage: float | None = None
    """Share of the KV cache that is held, 0 to 1."""
    prefix_queries: float | None = None
    """Prompt tokens that were looked up in the prefix cache."""
    prefix_hits: float | None = None
    steps: float | None = None
    """Steps that the engine made: the sign that it is alive, whatever its server answers."""
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    preemptions: float | None = None
    block_tokens: int | None = None
    """Tokens of one block of its KV cache."""
    kv_tokens: int | None = None
    """Tokens that its whole KV cache has room for."""
    is_asleep: bool = False
    """Somebody put it to sleep: it answers when they wake it, and not before."""


def read_load(page: bytes) -> Load | None:
    """What `page` says, `None` when it is no page of an engine: without both numbers of requests. Never raises."""
    found: dict[str, float] = {}
    shape: tuple[int, int] | None = None
    is_asleep = False
    for name, rest in _lines(page):
        field = _ADDED.get(name)
        if field is not None:
            value = _value(rest)
            if value is not None:
                found[field] = found.get(field, 0.0) + value
        elif name in _FULLEST:
            value = _value(rest)
            if value is not None and value <= 1.0:
                found["kv_usage"] = max(found.get("kv_usage", 0.0), value)
        elif name == _SLEEP:
            is_asleep = is_asleep or (_AWAKE in rest and _value(rest) == 0.0)
        elif name == _SHAPE:
            shape = _shape(b"{" + rest) or shape
    if "running" not in found or "waiting" not in found:
        return None
    block, blocks = shape or (None, None)
    kv_tokens = block * blocks if block and blocks else None
    return Load(**found, block_tokens=block, kv_tokens=kv_tokens, is_asleep=is_asleep)


def _lines(page: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name, and labels and value, of each line that is the engine's own."""
    for line in page.split(b"\n"):
        if line.startswith(_PREFIX):
            name, _, rest = line[len(_PREFIX) :].partition(b"{")
            if rest:
                yield name, rest
            else:
                name, _, rest = name.partition(b" ")
                yield name, rest


def _value(rest: bytes) -> float | None:
    """The number after the labels, which may hold spaces and braces themselves; a time may follow it."""
    words = rest[rest.rfind(b"}") + 1 :].split(maxsplit=1)
    try:
        value = float(words[0]) if words else -1.0
    except ValueError:
        return None
    return value if value >= 0.0 and math.isfinite(value) else None


def _shape(labels: bytes) -> tuple[int, int] | None:
    block, blocks = _BLOCK.search(labels), _BLOCKS.search(labels)
    return (int(block[1]), int(blocks[1]) if blocks else 0) if block else None
