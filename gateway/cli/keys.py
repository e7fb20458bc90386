"""`cascadia keys`: API keys of this data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor, Quiet
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from gateway.auth.directory.directory import Directory
    from gateway.auth.directory.records import Key
    from gateway.auth.keys import NewKey

app = typer.Typer(**APP, help="Create, list, rotate and revoke API keys.")

WhichKey = Annotated[str, typer.Argument(metavar="ID_OR_NAME", help="Which key.", show_default=False)]

_LOOK = "cascadia keys list"


@app.command(epilog="Example: cascadia keys create ci --team research --model 'llama-*' --expires 90d")
def create(
    name: Annotated[str, typer.Argument(help="What to call it, to find it again.", show_default=False)],
    team: Annotated[
        str,
        typer.Option("--team", "--tenant", metavar="NAME", help="Who it is for. A new name is a new team."),
    ] = "default",
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", help="Whose it is within the team.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Model it may use, or PREFIX*; can be repeated. Default: all.",
            show_default=False,
        ),
    ] = None,
    operation: Annotated[
        list[str] | None,
        typer.Option(
            "--operation",
            metavar="NAME",
            help="What it may be used for: chat, completions, models, usage; or admin, alone. Default: all but admin.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(
            "--network",
            metavar="CIDR",
            help="Addresses it may be used from; can be repeated. Default: all.",
            show_default=False,
        ),
    ] = None,
    tier: Annotated[
        str, typer.Option("--tier", metavar="TIER", help="Highest tier: flex, default or priority.")
    ] = "priority",
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires",
            metavar="TIME",
            help="When it ends, from now: 90d, 12h. Default: never.",
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
    import time

    from gateway.auth.directory.records import Kind
    from gateway.auth.directory.rules import LOCAL
    from gateway.cli.people import asked, seconds

    voice = Voice(quiet=quiet)
    fields: dict[str, Any] = {
        "name": name,
        "team": team,
        "user": user,
        "models": model or None,
        "operations": operation or None,
        "networks": network or None,
        "highest_tier": tier,
        "expires_at": None if expires is None else time.time() + seconds(expires),
    }
    if not asked(config, data_dir, voice, lambda directory: _has_team(directory, team), look=_LOOK):
        new_team = {"name": team}
        asked(
            config,
            data_dir,
            voice,
            lambda directory: directory.create(LOCAL, Kind.TEAM, new_team),
            look=_LOOK,
            deed="teams.create",
            about=team,
        )
        voice.say(f"The team {team} is new.")
    created = asked(
        config,
        data_dir,
        voice,
        lambda directory: directory.create_key(LOCAL, fields),
        look=_LOOK,
        deed="keys.create",
        about=name,
    )
    _show_new(created, voice, as_json=as_json)
    return ExitCode.OK


@app.command("list", epilog="Example: cascadia keys list --json")
def list_keys(
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> int:
    """List the keys, oldest first. The keys themselves are not stored and cannot be shown."""
    from gateway.cli.people import asked

    voice = Voice(no_color=no_color)
    found = asked(config, data_dir, voice, _all, look="cascadia doctor")
    if as_json:
        print_json(keys=[_as_json(key, state) for key, state in found])
    elif found:
        voice.table(
            ["ID", "NAME", "TEAM", "USER", "MODELS", "EXPIRES", "STATE"],
            [_row(key, state) for key, state in found],
        )
    else:
        voice.say("There are no keys. Create one with: cascadia keys create NAME")
    return ExitCode.OK


@app.command(epilog="Example: cascadia keys show ci")
def show(
    key: WhichKey,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> int:
    """Show all about one key but the key itself; its digests too, to declare it in a configuration."""
    from gateway.cli.people import asked

    voice = Voice()
    record, state = asked(config, data_dir, voice, lambda directory: _one(directory, key), look=_LOOK)
    shown = {**_as_json(record, state), "secrets": [_secret(each) for each in record.secrets]}
    if as_json:
        print_json(**shown)
        return ExitCode.OK
    for name, value in shown.items():
        voice.tell(f"{name:<14}{_words(name, value)}")
    return ExitCode.OK


@app.command(epilog="Example: cascadia keys rotate ci --overlap 24h")
def rotate(
    key: WhichKey,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old text works on: 24h, 0m.")
    ] = "24h",
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Give a key another text and print it, this once. Its id and all that it may do stay."""
    from gateway.auth.directory.rules import LOCAL
    from gateway.cli.people import asked, seconds

    voice = Voice(quiet=quiet)
    length = seconds(overlap)

    async def work(directory: Directory) -> NewKey:
        record, _ = await _one(directory, key)
        return await directory.rotate_key(LOCAL, record.id, overlap=length)

    rotated = asked(config, data_dir, voice, work, look=_LOOK, deed="keys.rotate", about=key)
    _show_new(rotated, voice, as_json=as_json)
    voice.say(f"The old text works for {overlap} more.")
    return ExitCode.OK


@app.command(epilog="Example: cascadia keys revoke ci")
def revoke(
    key: WhichKey,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Revoke a key for good. Running gateways refuse it within five seconds."""
    from gateway.auth.directory.rules import LOCAL
    from gateway.cli.people import asked

    voice = Voice(quiet=quiet)

    async def work(directory: Directory) -> Key:
        record, _ = await _one(directory, key)
        return await directory.revoke_key(LOCAL, record.id)

    record = asked(config, data_dir, voice, work, look=_LOOK, deed="keys.revoke", about=key)
    if as_json:
        print_json(**_as_json(record, "revoked"))
    else:
        voice.say(f"The key {record.name} ({record.id}) is revoked.")
    return ExitCode.OK


async def _has_team(directory: Directory, team: str) -> bool:
    return team in directory.contents.teams


async def _all(directory: Directory) -> list[tuple[Key, str]]:
    return [(key, _state(key, directory)) for key in directory.contents.keys.values()]


async def _one(directory: Directory, id_or_name: str) -> tuple[Key, str]:
    """The key of that id, or the only one of that name. Raises `Failure`."""
    from gateway.auth.keys import UnknownKey, find

    try:
        key = find(tuple(directory.contents.keys.values()), id_or_name)
    except UnknownKey as error:
        raise Failure(str(error), fix="look up its id", next_command=_LOOK) from error
    return key, _state(key, directory)


def _state(key: Key, directory: Directory) -> str:
    import time

    from gateway.auth.grants import principal_of

    if key.revoked_at is not None:
        return "revoked"
    if not key.is_valid(time.time()):
        return "expired"
    return "suspended" if principal_of(key, directory.contents) is None else "valid"


def _show_new(created: NewKey, voice: Voice, *, as_json: bool) -> None:
    if as_json:
        print_json(key=created.text, **_as_json(created.record, "valid"))
        return
    voice.tell(created.text)
    voice.say(f"This is the only time it is shown. Its id is {created.record.id}.")


def _as_json(key: Key, state: str) -> dict[str, Any]:
    from gateway.cli.people import complete, plain

    shown = plain(complete(key))
    del shown["secrets"]
    return {**shown, "tenant": key.team, "state": state}


def _secret(secret: Any) -> dict[str, Any]:
    return {"digest": secret.digest, "created": secret.created, "expires_at": secret.expires_at}


def _row(key: Key, state: str) -> list[str]:
    from gateway.cli.people import moment

    models = "all" if key.models is None else ", ".join(key.models)
    return [key.id, key.name, key.team, key.user or "-", models, moment(key.expires_at, "never"), state]


def _words(name: str, value: Any) -> str:
    from gateway.cli.people import moment

    if name in {"created", "expires_at", "revoked_at"}:
        return moment(value, "never")
    if name == "secrets":
        return ", ".join(f"{each['digest']} until {moment(each['expires_at'], 'revoked')}" for each in value)
    if isinstance(value, list | tuple):
        return ", ".join(str(each) for each in value)
    return "all" if value is None and name in {"models", "operations", "networks"} else str(value or "-")
