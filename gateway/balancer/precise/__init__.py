"""Precise knowledge of prefix caches: a prompt's own tokens, compared with the blocks that engines say they have.

Imported only where it is switched on: it brings the engine's tokenizer and chat template into this process.
"""

from gateway.balancer.precise.knowledge import Knowledge, Told

__all__ = ["Knowledge", "Told"]
