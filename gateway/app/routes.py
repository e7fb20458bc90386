"""From a checked configuration to where calls go, as the catalog takes it."""

from __future__ import annotations

from config.schema import Config
from gateway.fleet.routes import Route, Routes, Share


def routes_of(config: Config) -> Routes:
    """All routes of `config`."""
    return Routes(
        {
            name: Route(
                name,
                tuple(Share.of(model, weight) for model, weight in routing.split.items()),
                routing.fallbacks,
                routing.fall_back_on_context_length,
            )
            for name, routing in config.models.items()
        }
    )
