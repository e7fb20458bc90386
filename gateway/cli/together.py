"""Gateway, engines and an embedded Valkey as children of `cascadia up`."""

from __future__ import annotations

import asyncio
import os
import random
import signal

from config.write import snapshot
from gateway.cli import embedded
from gateway.cli.instance import only_one, refuse_taken
from gateway.cli.keyring import first_key
from gateway.cli.kin import adopt_orphans, end_descendants
from gateway.cli.output import Voice
from gateway.cli.parent import KILL_AFTER_S, Backoff, Child, Family, Role, program, spawn
from gateway.cli.setting import Setting
from gateway.cli.start import Start


def run_together(setting: Setting, voice: Voice) -> int:
    """Run all until a signal, or until one of them ends for good; nobody is left then. Gives the exit code.

    Raises `Failure` when another `up` or gateway holds the data folder, `ListenError` when an address is taken.
    """
    config, paths = setting.config, setting.paths
    with only_one(paths.run, "up"):
        # The gateway's lock is the child's to take: one that runs already is named before anything starts.
        with only_one(paths.run, "gateway"):
            refuse_taken([config.server.listen, config.server.admin_listen])
        new_key = first_key(config, paths)
        adopt_orphans()
        # A snapshot: a child that is started again gets what the first one got, whatever happened to the file.
        snapshot(config.model_copy(update={"data_dir": paths.data.absolute()}), paths.effective_config)
        try:
            return asyncio.run(_supervise(setting, voice, new_key))
        finally:
            end_descendants()
            paths.effective_config.unlink(missing_ok=True)


async def _supervise(setting: Setting, voice: Voice, new_key: str | None) -> int:
    family = Family([_child(role, voice) for role in _roles(setting, voice)], voice.say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, family.interrupt)
    start = asyncio.create_task(Start(setting, voice, new_key).show())
    try:
        return await family.run()
    finally:
        start.cancel()


def _roles(setting: Setting, voice: Voice) -> list[Role]:
    """Who is run, in the order in which they are stopped. Raises `Failure` when one cannot be had."""
    config = setting.config
    roles = [_own("gateway", setting, voice)]
    if config.engines:
        roles.append(_own("engines", setting, voice))
    if embedded.is_wanted(config):
        roles.append(embedded.role(setting.paths, os.getpid()))
    return roles


def _own(name: str, setting: Setting, voice: Voice) -> Role:
    """A verb of this program."""
    argv = [
        *program(),
        name,
        "--config",
        str(setting.paths.effective_config),
        "--parent-pid",
        str(os.getpid()),
    ]
    return Role(
        name,
        [*argv, *(["--quiet"] if voice.quiet else [])],
        setting.config.server.drain_delay_seconds + setting.config.server.drain_seconds + KILL_AFTER_S,
    )


def _child(role: Role, voice: Voice) -> Child:
    return Child(role, spawn=spawn, say=voice.say, backoff=Backoff(random.Random()))  # noqa: S311 - jitter
