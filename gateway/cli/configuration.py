"""`cascadia config`: what is in force and why, and the schema of the file."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP, help="Show the configuration in force, or the schema of its file.")


@app.command(epilog="Example: cascadia config show --effective --why")
def show(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    effective: Annotated[
        bool, typer.Option("--effective", help="Show defaults too: all that is in force.")
    ] = False,
    why: Annotated[
        bool, typer.Option("--why", help="Say what set each value: file and line, variable or option.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Print what the file, the environment and the options set together. Secrets are hidden.

    The JSON form always holds all values, and what set those that are not defaults.
    """
    from config.shape import dotted
    from config.write import as_yaml, plain
    from gateway.cli.setting import load_setting

    voice = Voice()
    loaded = load_setting(config, data_dir, voice).loaded
    if as_json:
        origins = {dotted(path): origin for path, origin in loaded.origins.items()}
        file = str(loaded.file) if loaded.file else None
        print_json(config=plain(loaded.config, reveal=False), origins=origins, file=file)
    elif effective or loaded.origins:
        voice.tell(as_yaml(loaded, defaults=effective, why=why).rstrip("\n"))
    else:
        voice.say("Nothing is set. All defaults: cascadia config show --effective")
    return ExitCode.OK


@app.command(epilog="Example: cascadia config schema > cascadia.schema.json")
def schema() -> int:
    """Print the JSON Schema of the configuration file.

    Editors use it: begin the file with the line `# yaml-language-server: $schema=./cascadia.schema.json`.
    """
    from config.json_schema import schema_text

    Voice().tell(schema_text().rstrip("\n"))
    return ExitCode.OK
