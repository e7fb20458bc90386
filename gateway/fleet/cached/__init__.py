"""What engines say of their own prefix caches: the blocks they store and drop, as they do it.

vLLM publishes such events over ZeroMQ (`--kv-events-config`). Each engine is followed over a connection of its own: when
that breaks the engine has ended, or may have, and what was known of it is forgotten in the same moment.
"""

from gateway.fleet.cached.blocks import Blocks
from gateway.fleet.cached.chain import ROOT, extended
from gateway.fleet.cached.follower import Follower
from gateway.fleet.cached.followers import Followers

__all__ = ["ROOT", "Blocks", "Follower", "Followers", "extended"]
