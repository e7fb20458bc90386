"""`cascadia usage`: who used what, from the database."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from datetime import date

    from gateway.ledger.usage import Line, Question
    from gateway.store import Database

app = typer.Typer(**APP)

_GROUPS = {"organisation": "organisation", "team": "team", "user": "user", "key": "key_id", "model": "model"}
_DAY = "day"
_DAYS = 30
_NUMBERS = ("requests", "failed", "prompt", "cached", "completion", "estimated", "cost")
_SECONDS = 86_400
_MILLION = 1_000_000


@app.command(epilog="Example: cascadia usage --by team --by day --from 2026-11-01 --csv")
def usage(
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            metavar="WHAT",
            help="One line for each organisation, team, user, key, model or day; can be repeated. "
            "Default: team and model.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="DATE", help="First day, in UTC. Default: 30 days ago.", show_default=False
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--to", metavar="DATE", help="Last day, in UTC. Default: today.", show_default=False),
    ] = None,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="NAME", help="Only this team; can be repeated.", show_default=False),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="NAME", help="Only this model; can be repeated.", show_default=False),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> int:
    """Show requests and tokens, by team and model or what you name.

    Reads the database: works while the gateway runs, and while it does not. Calls of the last seconds may be missing.
    """
    from gateway.cli.setting import load_setting
    from gateway.databases import database_of

    voice = Voice(no_color=no_color)
    setting = load_setting(config, data_dir, voice)
    groups = list(dict.fromkeys(by or ["team", "model"]))
    question = _question(groups, since, until, {"team": team or [], "model": model or []})
    lines = _ask(database_of(setting.config, setting.paths), question)
    rows = [_row(groups, question, line) for line in lines]
    if as_json:
        print_json(usage=[dict(zip([*groups, *_NUMBERS], row, strict=True)) for row in rows])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerows([[*groups, *_NUMBERS], *rows])
    elif rows:
        headings = [name.upper() for name in (*groups, *_NUMBERS)]
        cells = [[_cell(each) for each in row] for row in rows]
        voice.table(headings, cells, numbers=[name.upper() for name in _NUMBERS])
    else:
        voice.say("There is no usage in that time.")
    return ExitCode.OK


def _question(
    groups: list[str], since: str | None, until: str | None, only: dict[str, list[str]]
) -> Question:
    from datetime import UTC, datetime, timedelta

    from gateway.ledger.usage import Question

    for name in groups:
        if name != _DAY and name not in _GROUPS:
            raise typer.BadParameter(
                f"'{name}' is none of {', '.join([*_GROUPS, _DAY])}", param_hint="'--by'"
            )
    today = datetime.now(UTC).date()
    last = _date(until, "--to") if until else today
    first = _date(since, "--from") if since else last - timedelta(days=_DAYS - 1)
    if last < first:
        raise typer.BadParameter("the last day is before the first", param_hint="'--to'")
    return Question(
        start=_second(first),
        end=_second(last) + _SECONDS,
        width=_SECONDS if _DAY in groups else None,
        by=tuple(_GROUPS[name] for name in groups if name != _DAY),
        only={name: values for name, values in only.items() if values},
    )


def _date(text: str, option: str) -> date:
    from datetime import date

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("expected a date as 2026-11-24", param_hint=f"'{option}'") from None


def _second(day: date) -> int:
    from datetime import UTC, datetime, time

    return int(datetime.combine(day, time(), UTC).timestamp())


def _ask(database: Database, question: Question) -> list[Line]:
    import asyncio

    from gateway.core.errors import StoreUnavailable
    from gateway.ledger.usage import answer

    async def ask() -> list[Line]:
        try:
            return await answer(database, question)
        finally:
            await database.close()

    try:
        return asyncio.run(ask())
    except StoreUnavailable as error:
        raise Failure(
            f"the database cannot be read: {database.trouble}",
            fix="start it, or mend 'database' in the configuration",
            next_command="cascadia config show",
        ) from error


def _cell(value: str | float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}" if isinstance(value, float) else value or "-"


def _row(groups: list[str], question: Question, line: Line) -> list[Any]:
    from datetime import UTC, datetime

    values = dict(zip(question.by, line.group, strict=True))
    day = datetime.fromtimestamp(line.start, UTC).date().isoformat()
    return [
        *(day if name == _DAY else values[_GROUPS[name]] for name in groups),
        *line[2:-1],
        line.cost / _MILLION,
    ]
