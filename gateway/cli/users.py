"""`cascadia users`: people and service accounts, to whom keys can belong."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor, Quiet
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP, help="Create, list and suspend users and service accounts.")

User = Annotated[str, typer.Argument(metavar="NAME", help="Which user.", show_default=False)]


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
    from gateway.auth.directory.rules import LOCAL
    from gateway.cli.people import asked, complete, plain

    voice = Voice(quiet=quiet)
    fields: dict[str, Any] = {
        "name": name,
        "team": team,
        "kind": "service" if service else "person",
        "role": role,
        "reach": reach,
    }
    user = asked(
        config,
        data_dir,
        voice,
        lambda directory: directory.create(LOCAL, Kind.USER, fields),
        look="cascadia users list",
        deed="users.create",
    )
    if as_json:
        print_json(**plain(complete(user)))
    else:
        voice.say(
            f"The user {name} is there. A key for it: cascadia keys create NAME --team {team} --user {name}"
        )
    return ExitCode.OK


@app.command("list", epilog="Example: cascadia users list --json")
def list_users(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, no_color: NoColor = False
) -> int:
    """List the users."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import listed, state_of

    def row(user: dict[str, Any]) -> list[str]:
        role = "-" if user["role"] is None else f"{user['role']} of {user['reach']}"
        return [user["name"], user["team"], user["kind"], role, user["owner"], state_of(user)]

    listed(
        Kind.USER,
        ["NAME", "TEAM", "KIND", "ROLE", "OWNER", "STATE"],
        row,
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        no_color=no_color,
    )
    return ExitCode.OK


@app.command(epilog="Example: cascadia users suspend ada")
def suspend(
    name: User,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Refuse all keys of a user until they are resumed."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import set_suspended

    set_suspended(
        Kind.USER, name, suspended=True, config=config, data_dir=data_dir, as_json=as_json, quiet=quiet
    )
    return ExitCode.OK


@app.command(epilog="Example: cascadia users resume ada")
def resume(
    name: User,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """End a suspension."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import set_suspended

    set_suspended(
        Kind.USER, name, suspended=False, config=config, data_dir=data_dir, as_json=as_json, quiet=quiet
    )
    return ExitCode.OK
