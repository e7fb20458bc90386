"""What the gateway must know of an engine software."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Adapter:
    """Facts about one engine software."""

    name: str
    models_path: str
    """Path of the model list: asked to learn what a server serves, and whether it answers."""
    metrics_path: str | None
    """Path of the page on which it tells its load, in vLLM's words; `None` when it has none that we can read."""
    idle_seconds: float
    """How long to keep an idle connection to a server with default settings: less than it keeps it itself, so that a
    request is not sent into a connection that the server is closing."""
    takes_cache_salt: bool = False
    """Whether its prefix cache knows salts (vLLM's `cache_salt`)."""
