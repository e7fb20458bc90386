"""`cascadia up`: everything on this machine with one command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, ConfigFile, DataDir, Listen, Quiet, Workers
from gateway.cli.output import Voice

if TYPE_CHECKING:
    from config.load import Override

app = typer.Typer(**APP)

BUNDLED_GROUP = "tiny"
"""Name of the group, and of the model, that runs when nothing is configured."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


@app.command(epilog="Example: cascadia up --model Qwen/Qwen3-0.6B -- --max-model-len 8192")
def up(
    engine_args: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ENGINE_ARGS", help="After a --: more arguments for the engine.", show_default=False
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    listen: Listen = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="PATH_OR_ID",
            help="Serve this folder of weights or Hugging Face id, in place of the configured engines.",
            show_default=False,
        ),
    ] = None,
    upstream: Annotated[
        list[str] | None,
        typer.Option(
            "--upstream",
            metavar="URL",
            help="Also call this running server (http://HOST:PORT or unix:/path). Can be repeated.",
            show_default=False,
        ),
    ] = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> int:
    """Start everything on this machine: engine workers, the gateway, and an API key at the first start.

    Serves what cascadia.yaml or the options name; with neither, the small bundled model. With upstreams alone no engine
    is started. Ctrl-C drains: running answers are finished first. A second Ctrl-C ends at once.
    """
    from config.load import Override
    from gateway.cli.setting import load_setting

    voice = Voice(quiet=quiet)
    _refuse_stray(engine_args or [])
    overrides = _overrides(listen, model, upstream or [], engine_args or [])
    if workers is not None:
        overrides.append(Override(("server", "workers"), workers, "--workers"))
    setting = load_setting(config, data_dir, voice, overrides)
    if not setting.config.engines and not setting.config.upstreams:
        overrides.append(_bundled(engine_args or []))
        setting = load_setting(config, data_dir, voice, overrides)
    elif engine_args and model is None:
        raise Failure(
            "engine arguments were given without --model",
            fix="the engines of a configuration take theirs from 'args:' there",
            next_command="cascadia up --help",
            code=ExitCode.USAGE,
        )
    from gateway.cli import embedded

    if setting.config.engines or embedded.is_wanted(setting.config):
        from gateway.cli.together import run_together

        return run_together(setting, voice)
    if setting.config.server.workers > 1:
        from gateway.cli.several import serve_several

        return serve_several(setting, voice, lambda: load_setting(config, data_dir, voice, overrides))
    from gateway.cli.serving import serve

    return serve(setting, voice)


def _refuse_stray(args: list[str]) -> None:
    """An engine's arguments begin with an option; anything else is a word that lost its option here."""
    if args and not args[0].startswith("-"):
        raise Failure(
            f"unexpected argument '{args[0]}'",
            fix=f"to serve a model write --model {args[0]}; the engine's own options come after --",
            next_command="cascadia up --help",
            code=ExitCode.USAGE,
        )


def _overrides(
    listen: str | None, model: str | None, upstreams: list[str], args: list[str]
) -> list[Override]:
    from config.load import Override

    found = [] if listen is None else [Override(("server", "listen"), listen, "--listen")]
    if model is not None:
        found.append(Override(("engines",), [group_of(model, args)], "--model"))
    found += [Override(("upstreams",), {"url": url}, "--upstream", append=True) for url in upstreams]
    return found


def group_of(model: str, args: list[str]) -> dict[str, Any]:
    """The engine group that serves `model`: a folder under its own name, a Hugging Face id under the id."""
    path = Path(model).expanduser()
    is_folder = path.exists() or model.startswith((".", "/", "~"))
    last = path.resolve().name if is_folder else model.rsplit("/", 1)[-1]
    name = _NOT_IN_NAMES.sub("-", last).strip("-._")[:64] or "model"
    return {
        "name": name,
        "model": str(path.absolute()) if is_folder else model,
        "serve_as": [name if is_folder else model],
        "args": args,
    }


def _bundled(args: list[str]) -> Override:
    from config.load import Override

    return Override(("engines",), [{"name": BUNDLED_GROUP, "args": args}], "cascadia up")
