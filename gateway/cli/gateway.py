"""`cascadia gateway`: the gateway alone, in this process."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.options import APP, ConfigFile, DataDir, Listen, ParentPid, Quiet, Workers
from gateway.cli.output import Voice

app = typer.Typer(**APP)


@app.command(epilog="Example: cascadia gateway --config /etc/cascadia/cascadia.yaml")
def gateway(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    listen: Listen = None,
    quiet: Quiet = False,
    workers: Workers = None,
    parent_pid: ParentPid = None,
    place: Annotated[str | None, typer.Option("--place", hidden=True)] = None,
) -> int:
    """Run the gateway alone, in the foreground.

    It calls the upstreams of the configuration and the workers that `cascadia engines` runs on the same data folder,
    and follows them as they come and go. SIGTERM drains it: running answers are finished, new calls are refused.

    With --workers there are several processes on one address; SIGHUP replaces them one after the other, with the
    configuration as it is then, and no connection is refused.
    """
    from config.load import Override
    from gateway.cli.kin import end_with_parent
    from gateway.cli.serving import serve
    from gateway.cli.setting import Setting, load_setting

    voice = Voice(quiet=quiet)
    overrides = [] if listen is None else [Override(("server", "listen"), listen, "--listen")]
    if workers is not None:
        overrides.append(Override(("server", "workers"), workers, "--workers"))

    def load() -> Setting:
        return load_setting(config, data_dir, voice, overrides)

    setting = load()
    if parent_pid is not None and place is not None:
        from gateway.cli.seating import serve_seated

        return serve_seated(setting, parent_pid, place)
    if parent_pid is not None:
        end_with_parent(parent_pid)
    if setting.config.server.workers > 1:
        from gateway.cli.several import serve_several

        return serve_several(
            setting, voice, load, has_screen=parent_pid is None, runs_valkey=parent_pid is None
        )
    # A child of `up` leaves the screen to its parent.
    return serve(setting, voice, has_screen=parent_pid is None)
