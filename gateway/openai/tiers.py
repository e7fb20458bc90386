"""`service_tier`: what a request asks for, and telling in the answer what it was given.

OpenAI's values, and `fast`, its newer name for `priority`, which vLLM does not know yet. A tier is a class of scheduling
here: `scale`, a contract about capacity, is served as `default`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway.core.call import Envelope, Principal, Tier
from gateway.core.errors import InvalidRequest
from gateway.openai.document import decode, encode

TIERS: Mapping[str, Tier] = {
    "auto": Tier.DEFAULT,
    "default": Tier.DEFAULT,
    "scale": Tier.DEFAULT,
    "flex": Tier.FLEX,
    "priority": Tier.PRIORITY,
    "fast": Tier.PRIORITY,
}
"""Value of the field → tier."""
_UNKNOWN_TO_ENGINES: Mapping[str, str] = {"fast": "priority"}
_MEMBER = re.compile(rb'"service_tier"\s*:\s*(?:null|"[^"\\]*")')


def tier_of(wanted: str | None, principal: Principal) -> Tier:
    """The tier of a request that asks for `wanted`: never a higher one than `principal` may have.

    Raises `InvalidRequest` for a value that is none.
    """
    if wanted is None:
        return min(Tier.DEFAULT, principal.highest_tier)
    tier = TIERS.get(wanted)
    if tier is None:
        known = ", ".join(f"'{value}'" for value in TIERS)
        raise InvalidRequest(f"`service_tier` has to be one of {known}.", param="service_tier")
    return min(tier, principal.highest_tier)


def acceptable(envelope: Envelope) -> Envelope:
    """`envelope` with a `service_tier` that engines know."""
    known = _UNKNOWN_TO_ENGINES.get(envelope.service_tier or "")
    if known is None:
        return envelope
    members = {**decode(envelope.body), "service_tier": known}
    return envelope._replace(body=encode(members))


def with_priority(body: bytes, tier: Tier) -> bytes:
    """`body` with vLLM's `priority`, by which an engine with `--scheduling-policy priority` orders: the least first."""
    return b'{"priority":%d,%b' % (Tier.DEFAULT - tier, body[1:]) if tier is not Tier.DEFAULT else body


class Echo:
    """Puts the tier that a call was given into its answer, a whole one or events, after what `before` does to it.

    Works on bytes: a line feed cannot stand in JSON's strings, nor a quote that is not escaped.
    """

    __slots__ = ("_before", "_member")

    def __init__(self, tier: Tier, before: Callable[[bytes], bytes] | None) -> None:
        self._member = b'"service_tier":"%b"' % tier.name.lower().encode()
        self._before = before

    def __call__(self, data: bytes) -> bytes:
        """Return `data` with the tier."""
        if self._before is not None:
            data = self._before(data)
        if b'"service_tier"' in data:
            return _MEMBER.sub(self._member, data)
        if data.startswith((b"{", b"data: {")):
            data = data.replace(b'{"', b'{%b,"' % self._member, 1)
        return data.replace(b'\ndata: {"', b'\ndata: {%b,"' % self._member)
