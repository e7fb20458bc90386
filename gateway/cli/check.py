"""`cascadia check`: everything that can be known to be wrong before a start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, Quiet
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from gateway.cli.setting import Setting

app = typer.Typer(**APP)


@app.command(epilog="Example: cascadia check --config cascadia.yaml")
def check(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, quiet: Quiet = False
) -> int:
    """Check the configuration and what it needs, without starting anything.

    Reads the file, the environment and the secret files, connects all parts of the gateway without opening a socket,
    and checks each engine's Python, model, arguments, memory and GPUs. Ends with 78 at the first part that is wrong.
    """
    import asyncio

    from gateway.cli.setting import load_setting

    voice = Voice(quiet=quiet)
    setting = load_setting(config, data_dir, voice)
    _build(setting)
    workers = asyncio.run(_prepare(setting))
    if as_json:
        print_json(ok=True, file=str(setting.loaded.file) if setting.loaded.file else None, workers=workers)
        return ExitCode.OK
    source = setting.loaded.file or "no file, defaults in force"
    if not setting.config.engines and not setting.config.upstreams:
        voice.say(f"{source}: ok. Nothing to serve is configured: `cascadia up` serves the bundled model")
        return ExitCode.OK
    voice.say(f"{source}: ok, {len(setting.config.upstreams)} upstreams, {len(workers)} workers")
    return ExitCode.OK


def _build(setting: Setting) -> None:
    """Connect the whole gateway. A key file that is not there yet is no fault: the first start makes it."""
    from gateway.app import build
    from gateway.identity import key_file

    config = setting.config
    if config.auth.mode == "keys" and not key_file(config, setting.paths).path.exists():
        config = config.model_copy(update={"auth": config.auth.model_copy(update={"mode": "anonymous"})})
    build(config, setting.paths)


async def _prepare(setting: Setting) -> list[str]:
    """Check each worker as its start would. Raises `LaunchError`."""
    if not setting.config.engines:
        return []
    import os

    import pynvml

    from engines.launch.gpus import detect
    from engines.launch.supervisor import plan

    plans = plan(setting.config.engines, setting.paths, os.environ, detect(pynvml))
    for each in plans:
        await each.prepare()
    return [each.worker for each in plans]
