"""`cascadia gateway`: the gateway alone, in this process."""

from __future__ import annotations

import typer

from gateway.cli.options import APP, ConfigFile, DataDir, Listen, ParentPid, Quiet
from gateway.cli.output import Voice

app = typer.Typer(**APP)


@app.command(epilog="Example: cascadia gateway --config /etc/cascadia/cascadia.yaml")
def gateway(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    listen: Listen = None,
    quiet: Quiet = False,
    parent_pid: ParentPid = None,
) -> int:
    """Run the gateway alone, in the foreground.

    It calls the upstreams of the configuration and the workers that `cascadia engines` runs on the same data folder,
    and follows them as they come and go. SIGTERM drains it: running answers are finished, new calls are refused.
    """
    from config.load import Override
    from gateway.cli.kin import end_with_parent
    from gateway.cli.serving import serve
    from gateway.cli.setting import load_setting

    voice = Voice(quiet=quiet)
    overrides = [] if listen is None else [Override(("server", "listen"), listen, "--listen")]
    setting = load_setting(config, data_dir, voice, overrides)
    if parent_pid is not None:
        end_with_parent(parent_pid)
    # A child of `up` leaves the screen to its parent.
    return serve(setting, voice, has_screen=parent_pid is None)
