"""How evenly tenants were served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def jain(shares: Sequence[float]) -> float | None:
    """Jain's index: 1 when all are alike, 1/n when one has everything (Jain, Chiu, Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else None


def fair_shares(wanted: Mapping[str, float], weights: Mapping[str, float], total: float) -> dict[str, float]:
    """Divide `total` by weight, what one does not want among the others (weighted max-min fairness)."""
    shares = dict.fromkeys(wanted, 0.0)
    open_ones = set(wanted)
    left = total
    while open_ones:
        level = left / sum(weights[name] for name in sorted(open_ones))
        modest = sorted(name for name in open_ones if wanted[name] <= level * weights[name])
        if not modest:
            return shares | {name: level * weights[name] for name in open_ones}
        for name in modest:
            shares[name] = wanted[name]
            left -= wanted[name]
            open_ones.discard(name)
    return shares
