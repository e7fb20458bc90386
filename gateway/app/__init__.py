"""The only place that constructs and connects: from a checked configuration to a running gateway.

Inner layers take plain values; this package translates the configuration into them. `assembly` connects what the other
modules build, `lifespan` runs it from the first socket to the last.
"""

from gateway.app.assembly import build
from gateway.app.background import follow
from gateway.app.berth import Berth, Entrance
from gateway.app.data_plane import rules_of
from gateway.app.gateway import Gateway
from gateway.app.lifespan import LEAVE, Started, run
from gateway.app.servers import server_of
from gateway.app.stop import Stop, until_drained

__all__ = [
    "LEAVE",
    "Berth",
    "Entrance",
    "Gateway",
    "Started",
    "Stop",
    "build",
    "follow",
    "rules_of",
    "run",
    "server_of",
    "until_drained",
]
