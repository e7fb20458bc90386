"""The directory as the verbs `keys`, `users`, `teams` and `organisations` use it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from gateway.cli.failure import Failure
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from gateway.auth.directory.directory import Directory
    from gateway.auth.directory.records import Kind

_Result = TypeVar("_Result")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION = re.compile(rf"(\d{{1,5}})([{''.join(_UNITS)}])")


def asked(
    config: Path | None,
    data_dir: Path | None,
    voice: Voice,
    work: Callable[[Directory], Awaitable[_Result]],
    *,
    look: str,
    deed: str | None = None,
    about: str | None = None,
) -> _Result:
    """What `work` finds or does. Raises `Failure` for what the directory refuses, with `look` as the next command.

    What changes something is named by its `deed`, and written into the audit log: before it begins with what it is
    `about`, as it was asked for, then as it went.
    """
    from gateway.cli.auditing import audited
    from gateway.cli.setting import load_setting
    from gateway.core.errors import GatewayError
    from gateway.identity import opened

    setting = load_setting(config, data_dir, voice)

    async def run() -> _Result:
        async with opened(setting.config, setting.paths) as directory:
            return await work(directory)

    try:
        if deed is None:
            return asyncio.run(run())
        kind = deed.partition(".")[0]
        with audited(setting.paths, deed, kind if about is None else f"{kind}/{about}") as told:
            try:
                result = asyncio.run(run())
            except GatewayError as error:
                told.outcome = error.code or "error"
                raise
            record: Any = getattr(result, "record", result)
            told.tell(f"{kind}/{record.id}", after=shown(record))
            return result
    except GatewayError as error:
        message = error.message.rstrip(".").replace("`", "'")
        raise Failure(
            message[0].lower() + message[1:], fix="look at what there is", next_command=look
        ) from error


def seconds(text: str) -> float:
    """Seconds of `90d`, `12h`, `30m` or `2w`. Raises a usage error."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise typer.BadParameter("expected a number and m, h, d or w, such as 90d")
    return float(int(match[1]) * _UNITS[match[2]])


def moment(unix: float | None, absent: str) -> str:
    """A time for a table; its number of seconds where no calendar has it."""
    from datetime import UTC, datetime

    if unix is None:
        return absent
    try:
        return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{unix:g} s"


def created(
    kind: Kind,
    fields: dict[str, Any],
    *,
    then: str,
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Create an object, and say so; `then` is what to do next."""
    from gateway.auth.directory.rules import LOCAL

    voice = Voice(quiet=quiet)
    record = asked(
        config,
        data_dir,
        voice,
        lambda directory: directory.create(LOCAL, kind, fields),
        look=f"cascadia {kind.value} list",
        deed=f"{kind.value}.create",
        about=fields["name"],
    )
    if as_json:
        print_json(**plain(complete(record)))
    else:
        voice.say(f"The {kind.one} {fields['name']} is there. {then}")


def set_suspended(
    kind: Kind,
    name: str,
    *,
    suspended: bool,
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Suspend or resume an object, and say so."""
    from gateway.auth.directory.rules import LOCAL

    voice = Voice(quiet=quiet)
    record = asked(
        config,
        data_dir,
        voice,
        lambda directory: directory.update(LOCAL, kind, name, {"suspended": suspended}),
        look=f"cascadia {kind.value} list",
        deed=f"{kind.value}.update",
        about=name,
    )
    if as_json:
        print_json(**plain(complete(record)))
        return
    state = "suspended: its keys are refused within five seconds" if suspended else "in use again"
    voice.say(f"The {kind.one} {name} is {state}.")


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record for JSON: `version` there is that of the shape, its own is `revision`."""
    shown = {name: value for name, value in record.items() if name != "version"}
    return {**shown, "owner": record.get("owner", "dynamic"), "revision": record.get("version", 0)}


def listed(
    kind: Kind,
    headings: list[str],
    row: Callable[[dict[str, Any]], list[str]],
    *,
    config: Path | None,
    data_dir: Path | None,
    as_json: bool,
    no_color: bool,
) -> None:
    """Print all objects of a kind."""
    from gateway.auth.directory.rules import LOCAL

    voice = Voice(no_color=no_color)

    async def work(directory: Directory) -> list[dict[str, Any]]:
        return [plain(complete(record)) for record in directory.list(LOCAL, kind)]

    found = asked(config, data_dir, voice, work, look="cascadia doctor")
    if as_json:
        print_json(**{kind.value: found})
    elif found:
        voice.table(headings, [row(each) for each in found])
    else:
        voice.say(f"There are no {kind.value}. Create one with: cascadia {kind.value} create NAME")


def complete(record: Any) -> dict[str, Any]:
    """All fields of a record, those with their default too."""
    import msgspec

    return {name: msgspec.to_builtins(getattr(record, name)) for name in record.__struct_fields__}


def shown(record: Any) -> dict[str, Any]:
    """All fields of a record but the digests of a key."""
    return {name: value for name, value in complete(record).items() if name != "secrets"}


def state_of(record: dict[str, Any]) -> str:
    """One word for a table."""
    return "suspended" if record["suspended"] else "in use"
