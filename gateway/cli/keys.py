"""`cascadia keys`: API keys of this data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor, Quiet
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.auth.keys import KeyFile, KeyRecord

app = typer.Typer(**APP, help="Create, list and revoke API keys.")


def _file(config: Path | None, data_dir: Path | None, voice: Voice) -> KeyFile:
    from gateway.cli.keyring import key_file
    from gateway.cli.setting import load_setting

    setting = load_setting(config, data_dir, voice)
    return key_file(setting.config, setting.paths)


@app.command(epilog="Example: cascadia keys create ci --tenant research --model tiny")
def create(
    name: Annotated[str, typer.Argument(help="What to call it, to find it again.", show_default=False)],
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Who it is for.")] = "default",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Model it may use; can be repeated. Default: all.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Create an API key and print it, this once.

    Only a keyed digest of it is stored: a key that is lost cannot be shown again, create another. Running gateways take
    it up within five seconds.
    """
    voice = Voice(quiet=quiet)
    created = _file(config, data_dir, voice).create(
        name, tenant=tenant, models=tuple(model) if model else None
    )
    if as_json:
        print_json(key=created.text, id=created.record.id, name=name, tenant=tenant, models=model)
        return ExitCode.OK
    voice.tell(created.text)
    voice.say(f"This is the only time it is shown. Its id is {created.record.id}.")
    return ExitCode.OK


@app.command("list", epilog="Example: cascadia keys list --json")
def list_keys(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> int:
    """List the keys, oldest first. The keys themselves are not stored and cannot be shown."""
    voice = Voice(no_color=no_color)
    records = _file(config, data_dir, voice).records()
    if as_json:
        print_json(keys=[_as_json(record) for record in records])
    elif records:
        voice.table(
            ["ID", "NAME", "TENANT", "MODELS", "CREATED", "STATE"], [_row(record) for record in records]
        )
    else:
        voice.say("There are no keys. Create one with: cascadia keys create NAME")
    return ExitCode.OK


@app.command(epilog="Example: cascadia keys revoke ci")
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Which key.", show_default=False)],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Revoke a key for good. Running gateways refuse it within five seconds."""
    from gateway.auth.keys import UnknownKey

    voice = Voice(quiet=quiet)
    try:
        record = _file(config, data_dir, voice).revoke(key)
    except UnknownKey as error:
        raise Failure(str(error), fix="look up its id", next_command="cascadia keys list") from error
    if as_json:
        print_json(**_as_json(record))
    else:
        voice.say(f"The key {record.name} ({record.id}) is revoked.")
    return ExitCode.OK


def _as_json(record: KeyRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "name": record.name,
        "tenant": record.tenant,
        "models": record.models,
        "created": record.created,
        "revoked_at": record.revoked_at,
    }


def _row(record: KeyRecord) -> list[str]:
    from datetime import UTC, datetime

    created = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    models = "all" if record.models is None else ", ".join(record.models)
    state = "valid" if record.revoked_at is None else "revoked"
    return [record.id, record.name, record.tenant, models, created, state]
