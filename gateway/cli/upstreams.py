"""Which models there are to name on the first screen, upstreams that list their own models included."""

from __future__ import annotations

import asyncio
import os
from typing import Final

from config import secret_files
from config.schema import Config, Upstream
from engines.adapters import ADAPTERS
from gateway.fleet.endpoint import parse_address
from gateway.fleet.health import ProbeError, list_models, open_client

_PATIENCE_S: Final = 2.0


def configured_models(config: Config) -> list[str]:
    """The public names that the configuration itself gives."""
    names = [name for group in config.engines for name in (group.serve_as or (group.name,))]
    names += [name for upstream in config.upstreams for name in upstream.models]
    return list(dict.fromkeys(names))


async def first_models(config: Config) -> list[str]:
    """The configured names; without any, what the upstreams list within 2 s. Those that do not answer add nothing."""
    if names := configured_models(config):
        return names
    asked = [asyncio.create_task(_listed(upstream)) for upstream in config.upstreams]
    if not asked:
        return []
    _, late = await asyncio.wait(asked, timeout=_PATIENCE_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    found = [name for task in asked if not task.cancelled() for name in task.result()]
    return list(dict.fromkeys(found))


async def _listed(upstream: Upstream) -> tuple[str, ...]:
    key = secret_files.secret_of(upstream.api_key, upstream.api_key_file, os.environ)
    async with open_client(parse_address(upstream.url)) as client:
        try:
            return await list_models(client, ADAPTERS[upstream.engine].models_path, key)
        except ProbeError:
            return ()
