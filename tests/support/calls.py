"""A call as the data plane's inner layers get it."""

from __future__ import annotations

from typing import Any

from gateway.core.call import Call, Envelope, Principal, Tier

BODY = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'


def call(tenant: str = "t", *, model: str = "m", tier: Tier = Tier.DEFAULT, **fields: Any) -> Call:
    """One of `tenant` for `model`. `fields` are those of the envelope, or `id`, `arrived` and `deadline`."""
    own = {name: fields.pop(name) for name in ("id", "arrived", "deadline", "principal") if name in fields}
    envelope = Envelope(
        model, **{"stream": False, "strip_usage": False, "body": BODY, "stripped": b"", **fields}
    )
    made = Call("id", Principal(tenant, f"key-{tenant}"), "chat", model, 0.0, 1e9, tier, envelope)
    return made._replace(**own)
