"""`cascadia teams`: the tenants between whom engines are shared fairly."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.directory import add_list, add_suspending
from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, Quiet

app = typer.Typer(**APP, help="Create, list and suspend teams.")


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
    from gateway.cli.people import created

    fields: dict[str, Any] = {
        "name": name,
        "organisation": organisation,
        "weight": weight,
        "highest_tier": tier,
        "models": model or None,
    }
    created(
        Kind.TEAM,
        fields,
        then=f"A key for it: cascadia keys create NAME --team {name}",
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        quiet=quiet,
    )
    return ExitCode.OK


def _row(team: dict[str, Any]) -> list[str]:
    models = "all" if team["models"] is None else ", ".join(team["models"])
    return [team["name"], team["organisation"], f"{team['weight']:g}", team["highest_tier"], models]


add_list(app, "teams", ["NAME", "ORGANISATION", "WEIGHT", "TIER", "MODELS"], _row)
add_suspending(
    app, "teams", "team", example="research", meaning="Refuse all keys of a team until it is resumed."
)
