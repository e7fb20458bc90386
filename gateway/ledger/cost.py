"""What a call cost, as budgets count it: in millionths of the currency that `prices` are in."""

from __future__ import annotations

from typing import NamedTuple


class Price(NamedTuple):
    """Of one token each, in thousandths of a millionth of the currency: 150 where a million tokens cost 0.15."""

    input: int
    cached_input: int
    output: int

    def of(self, prompt: int, cached: int, completion: int) -> int:
        """The cost of so many tokens; `cached` are of those of the prompt."""
        cached = min(cached, prompt)
        thousandths = (prompt - cached) * self.input + cached * self.cached_input + completion * self.output
        return -(-thousandths // 1000)
