"""`cascadia organisations`: teams that belong together."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.directory import add_list, add_suspending
from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, Quiet

app = typer.Typer(**APP, help="Create, list and suspend organisations.")


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
    from gateway.cli.people import created

    created(
        Kind.ORGANISATION,
        {"name": name},
        then=f"A team of it: cascadia organisations create NAME --organisation {name}",
        config=config,
        data_dir=data_dir,
        as_json=as_json,
        quiet=quiet,
    )
    return ExitCode.OK


add_list(app, "organisations", ["NAME"], lambda organisation: [organisation["name"]])
add_suspending(
    app,
    "organisations",
    "organisation",
    example="physics",
    meaning="Refuse all keys of an organisation until it is resumed.",
)
