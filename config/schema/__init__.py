"""The configuration file's models: what may be written, its types, bounds and defaults.

Every model is strict and frozen and refuses unknown keys: a misspelt key that starts green sends prompts to the
wrong place. One module for a top-level key, or for two that belong together; `names`, `addresses` and `amounts` are
how single values are written. Relations between sections are checked at the root, in `Config`.
"""

from config.schema.addresses import is_loopback
from config.schema.engines import BUNDLED_MODEL, EngineGroup, Events, Upstream, upstream_id
from config.schema.identity import DeclaredKey, DeclaredUser
from config.schema.limits import LimitsOf, PartyLimits, PricesOf
from config.schema.redis import Redis
from config.schema.requests import CapsOf
from config.schema.root import Config
from config.schema.section import Section

__all__ = [
    "BUNDLED_MODEL",
    "CapsOf",
    "Config",
    "DeclaredKey",
    "DeclaredUser",
    "EngineGroup",
    "Events",
    "LimitsOf",
    "PartyLimits",
    "PricesOf",
    "Redis",
    "Section",
    "Upstream",
    "is_loopback",
    "upstream_id",
]
