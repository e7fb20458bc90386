"""Scopes as sets: whether one lies within another, and what two have in common. `None` is everything.

A model is named in full, or by `prefix*`: such sets can be compared without knowing which models there are.
"""

from __future__ import annotations

import ipaddress

Names = tuple[str, ...] | None


def is_within(inner: Names, outer: Names) -> bool:
    """Whether every model of `inner` is one of `outer`."""
    if outer is None:
        return True
    return inner is not None and all(any(_covers(wide, name) for wide in outer) for name in inner)


def common(one: Names, other: Names) -> Names:
    """The models of both."""
    if one is None or other is None:
        return other if one is None else one
    found = [a for a in one for b in other if _covers(b, a)] + [
        b for b in other for a in one if _covers(a, b)
    ]
    return tuple(dict.fromkeys(found))


def split(names: Names) -> tuple[frozenset[str] | None, tuple[str, ...]]:
    """Full names, `None` for all models, and prefixes."""
    if names is None or "*" in names:
        return None, ()
    prefixes = tuple(name[:-1] for name in names if name.endswith("*"))
    return frozenset(name for name in names if not name.endswith("*")), prefixes


def is_network_within(inner: Names, outer: Names) -> bool:
    """Whether every address of `inner` is one of `outer`."""
    if outer is None:
        return True
    wide = [ipaddress.ip_network(network) for network in outer]
    return inner is not None and all(
        any(_contains(each, ipaddress.ip_network(network)) for each in wide) for network in inner
    )


def _contains(
    outer: ipaddress.IPv4Network | ipaddress.IPv6Network, inner: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return (
        outer.version == inner.version
        and inner.network_address in outer
        and inner.prefixlen >= outer.prefixlen
    )


def _covers(wide: str, name: str) -> bool:
    """Whether all that `name` means is in `wide`."""
    return name.startswith(wide[:-1]) if wide.endswith("*") else name == wide
