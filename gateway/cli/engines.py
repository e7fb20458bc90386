"""`cascadia engines`: the engine workers alone, and `engines install`: their Python environment."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, ParentPid, Quiet
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP)


class Device(StrEnum):
    """Hardware to install for."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


class Installer(StrEnum):
    """Program that installs."""

    AUTO = "auto"
    UV = "uv"
    PIP = "pip"


@app.callback(
    invoke_without_command=True, epilog="Example: cascadia engines --config /etc/cascadia/cascadia.yaml"
)
def engines(
    context: typer.Context,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    quiet: Quiet = False,
    parent_pid: ParentPid = None,
) -> int:
    """Run the engine workers of the configuration, in the foreground.

    Starts each worker, restarts it when it dies, and publishes where it listens to every gateway on the same data
    folder. SIGTERM drains the workers; a second one ends them at once.
    """
    if context.invoked_subcommand is not None:
        return ExitCode.OK
    from gateway.cli.kin import end_with_parent
    from gateway.cli.setting import load_setting

    voice = Voice(quiet=quiet)
    setting = load_setting(config, data_dir, voice)
    if not setting.config.engines:
        raise Failure(
            "the configuration has no engines",
            fix="add an 'engines:' section, or serve the bundled model with: cascadia up",
            next_command="cascadia config show",
            code=ExitCode.CONFIG,
        )
    if parent_pid is not None:
        end_with_parent(parent_pid)
    import asyncio

    from engines.launch.supervisor import run

    return asyncio.run(run(setting.config, setting.paths, announce=voice.say))


@app.command(epilog="Example: cascadia engines install --device cpu")
def install(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    target: Annotated[
        Path | None,
        typer.Option(
            "--target",
            metavar="DIR",
            help="Folder of the environment. Default: engine-venv in the data folder.",
        ),
    ] = None,
    device: Annotated[
        Device, typer.Option("--device", help="auto: gpu where an NVIDIA GPU is found.")
    ] = Device.AUTO,
    installer: Annotated[
        Installer, typer.Option("--installer", help="auto: uv where it is found.")
    ] = Installer.AUTO,
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="PYTHON", help="Interpreter to build on. Default: this one."),
    ] = None,
    torch_index: Annotated[
        str | None,
        typer.Option(
            "--torch-index", metavar="URL", help="Index for PyTorch on CPUs. Default: its makers' own."
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Make the engine's own Python environment, or find that it is complete.

    Takes minutes the first time and milliseconds after that. The gateway's environment is not touched.
    """
    from engines.environment import install as make
    from gateway.cli.setting import load_setting

    voice = Voice(quiet=quiet)
    place = target or load_setting(config, data_dir, voice).paths.engine_environment
    made = make(
        place,
        device=device.value,
        installer=installer.value,
        python=python,
        torch_index=torch_index,
        say=voice.say,
    )
    if as_json:
        print_json(
            path=str(made.root), engine=made.engine, engine_version=made.version, device=made.device.value
        )
    else:
        voice.tell(f"{made.engine} {made.version} for {made.device.value} is ready in {made.root}")
    return ExitCode.OK
