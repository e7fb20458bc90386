"""`cascadia admin`: tokens for the administration of this data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor, Quiet
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from config.paths import Paths
    from gateway.auth.tokens import TokenRecord

app = typer.Typer(**APP, help="Create, list and revoke admin tokens.")


def _paths(config: Path | None, data_dir: Path | None, voice: Voice) -> Paths:
    from gateway.cli.setting import load_setting

    return load_setting(config, data_dir, voice).paths


@app.command(epilog="Example: cascadia admin create grafana --role viewer")
def create(
    name: Annotated[str, typer.Argument(help="What to call it, to find it again.", show_default=False)],
    role: Annotated[
        Literal["viewer", "operator", "admin"],
        typer.Option(
            "--role", help="viewer reads, operator works on replicas and keys too, admin everything."
        ),
    ] = "viewer",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Create an admin token and print it, this once. It works at once, on the admin listener alone."""
    from gateway.administration import token_file
    from gateway.cli.auditing import audited
    from gateway.core.call import Role

    voice = Voice(quiet=quiet)
    paths = _paths(config, data_dir, voice)
    with audited(paths, "tokens.create", "tokens") as deed:
        created = token_file(paths).create(name, Role(role))
        deed.tell(f"tokens/{created.record.id}", after=_as_json(created.record))
    if as_json:
        print_json(token=created.text, **_as_json(created.record))
        return ExitCode.OK
    voice.tell(created.text)
    voice.say(f"This is the only time it is shown. Its id is {created.record.id}.")
    return ExitCode.OK


@app.command("list", epilog="Example: cascadia admin list --json")
def list_tokens(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, no_color: NoColor = False
) -> int:
    """List the admin tokens, oldest first. The tokens themselves are not stored and cannot be shown."""
    from gateway.administration import token_file

    voice = Voice(no_color=no_color)
    records = token_file(_paths(config, data_dir, voice)).records()
    if as_json:
        print_json(tokens=[_as_json(record) for record in records])
    else:
        rows = [[r.id, r.name, r.role.value, "valid" if r.revoked_at is None else "revoked"] for r in records]
        voice.table(["ID", "NAME", "ROLE", "STATE"], rows)
    return ExitCode.OK


@app.command(epilog="Example: cascadia admin revoke first")
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Which token.", show_default=False)],
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Revoke an admin token for good. It is refused from then on."""
    from gateway.administration import token_file
    from gateway.auth.tokens import UnknownToken
    from gateway.cli.auditing import audited

    voice = Voice(quiet=quiet)
    paths = _paths(config, data_dir, voice)
    try:
        with audited(paths, "tokens.revoke", f"tokens/{token}") as deed:
            record = token_file(paths).revoke(token)
            deed.tell(f"tokens/{record.id}", after=_as_json(record))
    except UnknownToken as error:
        raise Failure(str(error), fix="look up its id", next_command="cascadia admin list") from error
    if as_json:
        print_json(**_as_json(record))
    else:
        voice.say(f"The token {record.name} ({record.id}) is revoked.")
    return ExitCode.OK


def _as_json(record: TokenRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "name": record.name,
        "role": record.role.value,
        "created": record.created,
        "revoked_at": record.revoked_at,
    }
