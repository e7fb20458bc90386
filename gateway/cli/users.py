"""`cascadia users`: people and service accounts, to whom keys can belong."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.directory import add_list, add_suspending
from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, Quiet

app = typer.Typer(**APP, help="Create, list and suspend users and service accounts.")


@app.command(epilog="Example: cascadia users create ada --team research --role operator")
def create(
    name: Annotated[str, typer.Argument(help="Its name, for good.", show_default=False)],
    team: Annotated[str, typer.Option("--team", metavar="NAME", help="Whom it belongs to.")] = "default",
    service: Annotated[bool, typer.Option("--service", help="A service account, no person.")] = False,
    role: Annotated[
        str | None,
        typer.Option(
            "--role",
            metavar="ROLE",
            help="What it may administer with a key of its own: viewer, operator or admin. Default: nothing.",
            show_default=False,
        ),
    ] = None,
    reach: Annotated[
        str,
        typer.Option("--reach", metavar="REACH", help="Over what: its team, organisation, or everything."),
    ] = "team",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Create a user or a service account."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import created

    fields: dict[str, Any] = {
        "name": name,
        "team": team,
        "kind": "service" if service else "person",
        "role": role,
        "reach": reach,
    }
    created(
        Kind.USER,
        fields,
        then=f"A key for it: cascadia keys create NAME --team {team} --user {name}",
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        quiet=quiet,
    )
    return ExitCode.OK


def _row(user: dict[str, Any]) -> list[str]:
    role = "-" if user["role"] is None else f"{user['role']} of {user['reach']}"
    return [user["name"], user["team"], user["kind"], role]


add_list(app, "users", ["NAME", "TEAM", "KIND", "ROLE"], _row)
add_suspending(
    app, "users", "user", example="ada", meaning="Refuse all keys of a user until they are resumed."
)
