"""`cascadia teams`: the tenants between whom engines are shared fairly."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor, Quiet
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP, help="Create, list and suspend teams.")

Team = Annotated[str, typer.Argument(metavar="NAME", help="Which team.", show_default=False)]


@app.command(epilog="Example: cascadia teams create research --weight 2")
def create(
    name: Annotated[str, typer.Argument(help="Its name, for good.", show_default=False)],
    organisation: Annotated[
        str, typer.Option("--organisation", metavar="NAME", help="What it belongs to.")
    ] = "default",
    weight: Annotated[
        float, typer.Option("--weight", help="Its share of engines that are short, against 1 of the others.")
    ] = 1.0,
    tier: Annotated[
        str, typer.Option("--tier", metavar="TIER", help="Highest tier: flex, default or priority.")
    ] = "priority",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Model it may use, or PREFIX*; can be repeated. Default: all.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Create a team."""
    from gateway.auth.directory.records import Kind
    from gateway.auth.directory.rules import LOCAL
    from gateway.cli.people import asked, complete, plain

    voice = Voice(quiet=quiet)
    fields: dict[str, Any] = {
        "name": name,
        "organisation": organisation,
        "weight": weight,
        "highest_tier": tier,
        "models": model or None,
    }
    team = asked(
        config,
        data_dir,
        voice,
        lambda directory: directory.create(LOCAL, Kind.TEAM, fields),
        look="cascadia teams list",
        deed="teams.create",
    )
    if as_json:
        print_json(**plain(complete(team)))
    else:
        voice.say(f"The team {name} is there. A key for it: cascadia keys create NAME --team {name}")
    return ExitCode.OK


@app.command("list", epilog="Example: cascadia teams list --json")
def list_teams(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, no_color: NoColor = False
) -> int:
    """List the teams."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import listed, state_of

    def row(team: dict[str, Any]) -> list[str]:
        models = "all" if team["models"] is None else ", ".join(team["models"])
        return [
            *(team["name"], team["organisation"], f"{team['weight']:g}", team["highest_tier"], models),
            *(team["owner"], state_of(team)),
        ]

    listed(
        Kind.TEAM,
        ["NAME", "ORGANISATION", "WEIGHT", "TIER", "MODELS", "OWNER", "STATE"],
        row,
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        no_color=no_color,
    )
    return ExitCode.OK


@app.command(epilog="Example: cascadia teams suspend research")
def suspend(
    name: Team,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Refuse all keys of a team until it is resumed."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import set_suspended

    set_suspended(
        Kind.TEAM, name, suspended=True, config=config, data_dir=data_dir, as_json=as_json, quiet=quiet
    )
    return ExitCode.OK


@app.command(epilog="Example: cascadia teams resume research")
def resume(
    name: Team,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """End a suspension."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import set_suspended

    set_suspended(
        Kind.TEAM, name, suspended=False, config=config, data_dir=data_dir, as_json=as_json, quiet=quiet
    )
    return ExitCode.OK
