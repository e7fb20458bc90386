"""A gateway in this process, with its data folder held and its screen shown."""

from __future__ import annotations

import asyncio

from gateway.administration import first_token
from gateway.app import Started, run
from gateway.cli.instance import only_one
from gateway.cli.keyring import first_key
from gateway.cli.output import Voice
from gateway.cli.screen import Screen
from gateway.cli.setting import Setting
from gateway.cli.upstreams import first_models


def serve(setting: Setting, voice: Voice, *, has_screen: bool = True) -> int:
    """Serve until a signal; returns the exit code.

    Raises `Failure` when another gateway holds the data folder, `ListenError` when an address cannot be had.
    """
    config, paths = setting.config, setting.paths
    with only_one(paths.run, "gateway") as publish:
        new_key = first_key(config, paths)
        admin_token = first_token(paths)
        screens: list[asyncio.Task[None]] = []

        async def show(started: Started) -> None:
            screen = Screen(
                url=started.url,
                models=await first_models(config),
                needs_key=config.auth.mode == "keys",
                new_key=new_key,
                admin_url=started.admin_url,
                admin_token=admin_token,
            )
            for line in screen.lines():
                voice.tell(line)

        def announce(started: Started) -> None:
            publish(started.url, started.admin_url)
            if has_screen:
                # Held in a list: a task that nobody holds may be collected before it ran.
                screens.append(asyncio.get_running_loop().create_task(show(started)))

        return run(config, paths, announce=announce)
