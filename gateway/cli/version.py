"""`cascadia version`: what is installed."""

from __future__ import annotations

import platform
from pathlib import Path

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP)

_SHOWN = ("fastapi", "uvicorn", "uvloop", "httptools", "pydantic")


@app.command(epilog="Example: cascadia version --json")
def version(config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> int:
    """Print the versions of the program, Python, the libraries on the request's path and the engine."""
    found = versions(_engine_environment(config, data_dir))
    if as_json:
        print_json(**found)
        return ExitCode.OK
    voice = Voice()
    voice.tell(f"cascadia {found['cascadia']}")
    for name, value in found.items():
        if name != "cascadia":
            voice.tell(f"  {name:<10} {value or 'not installed'}")
    return ExitCode.OK


def _engine_environment(config: Path | None, data_dir: Path | None) -> Path:
    """Where the engine is; a wrong configuration is no reason to keep the versions back."""
    import os

    from config.paths import Paths, default_data_dir
    from config.problems import ConfigErrors
    from gateway.cli.setting import load_setting

    try:
        return load_setting(config, data_dir, Voice()).paths.engine_environment
    except ConfigErrors:
        return Paths(data_dir or default_data_dir(os.environ)).engine_environment


def versions(engine_environment: Path) -> dict[str, str | None]:
    """Name → version; the engine is `None` where its environment is not complete."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from engines.environment import describe

    def of(distribution: str) -> str | None:
        try:
            return installed(distribution)
        except PackageNotFoundError:
            return None

    engine = describe(engine_environment)
    return {
        "cascadia": of("cascadia-gateway") or "unknown (not installed)",
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: of(name) for name in _SHOWN},
        "engine": f"{engine.engine} {engine.version} ({engine.device.value})" if engine else None,
    }
