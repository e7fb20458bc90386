"""`cascadia organisations`: teams that belong together."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor, Quiet
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP, help="Create, list and suspend organisations.")

Organisation = Annotated[str, typer.Argument(metavar="NAME", help="Which organisation.", show_default=False)]


@app.command(epilog="Example: cascadia organisations create physics")
def create(
    name: Annotated[str, typer.Argument(help="Its name, for good.", show_default=False)],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Create an organisation."""
    from gateway.auth.directory.records import Kind
    from gateway.auth.directory.rules import LOCAL
    from gateway.cli.people import asked, complete, plain

    voice = Voice(quiet=quiet)
    organisation = asked(
        config,
        data_dir,
        voice,
        lambda directory: directory.create(LOCAL, Kind.ORGANISATION, {"name": name}),
        look="cascadia organisations list",
        deed="organisations.create",
    )
    if as_json:
        print_json(**plain(complete(organisation)))
    else:
        voice.say(
            f"The organisation {name} is there. A team of it: cascadia organisations create NAME --organisation {name}"
        )
    return ExitCode.OK


@app.command("list", epilog="Example: cascadia organisations list --json")
def list_organisations(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, no_color: NoColor = False
) -> int:
    """List the organisations."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import listed, state_of

    def row(organisation: dict[str, Any]) -> list[str]:
        return [organisation["name"], organisation["owner"], state_of(organisation)]

    listed(
        Kind.ORGANISATION,
        ["NAME", "OWNER", "STATE"],
        row,
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        no_color=no_color,
    )
    return ExitCode.OK


@app.command(epilog="Example: cascadia organisations suspend physics")
def suspend(
    name: Organisation,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Refuse all keys of an organisation until it is resumed."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import set_suspended

    set_suspended(
        Kind.ORGANISATION,
        name,
        suspended=True,
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        quiet=quiet,
    )
    return ExitCode.OK


@app.command(epilog="Example: cascadia organisations resume physics")
def resume(
    name: Organisation,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """End a suspension."""
    from gateway.auth.directory.records import Kind
    from gateway.cli.people import set_suspended

    set_suspended(
        Kind.ORGANISATION,
        name,
        suspended=False,
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        quiet=quiet,
    )
    return ExitCode.OK
