"""`cascadia explain`: what became of a request, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.administering import TokenFileOption, ask
from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP)


@app.command(epilog="Example: cascadia explain req-0123456789abcdef01234567")
def explain(
    request_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="What `x-request-id` said. Default: list the last ones.", show_default=False
        ),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="List those of one tenant.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="List those for one model.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", metavar="WORD", help="List those that ended so.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="List so many.")] = 20,
    token_file: TokenFileOption = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> int:
    """Explain a request that is over: where its time went, which replicas were tried and why, who ended it.

    The running gateway remembers the last ones in memory (`explain` in the configuration), without any text of theirs.
    """
    from gateway.cli.setting import load_setting

    voice = Voice(no_color=no_color)
    paths = load_setting(config, data_dir, voice).paths
    if request_id is not None:
        found = ask(paths, token_file, f"/admin/requests/{quote(request_id, safe='')}", {})["data"]
        if as_json:
            print_json(requests=found)
        for story in [] if as_json else found:
            _tell(voice, story)
        return ExitCode.OK
    wishes = {"tenant": tenant, "model": model, "outcome": outcome, "limit": limit}
    given = {name: value for name, value in wishes.items() if value is not None}
    listed = ask(paths, token_file, "/admin/requests", given)["data"]
    if as_json:
        print_json(requests=listed)
    elif listed:
        voice.table(
            ["ID", "UTC", "TENANT", "MODEL", "OUTCOME", "QUEUE", "TOTAL"],
            [_row(story) for story in listed],
            numbers=["QUEUE", "TOTAL"],
        )
    else:
        voice.say("No request is remembered that fits.")
    return ExitCode.OK


def _row(story: dict[str, Any]) -> list[str]:
    return [
        story["id"],
        _when(story["at"]),
        story["tenant"] or "-",
        story["model"] or "-",
        story["code"] or story["outcome"],
        _ms(story["queue_ms"]),
        _ms(story["duration_ms"]),
    ]


def _tell(voice: Voice, story: dict[str, Any]) -> None:
    """One request as a person reads it."""
    code = f" ({story['code']})" if story["code"] else ""
    facts = [
        ("request", f"{story['id']}  {_when(story['at'])} UTC"),
        ("outcome", f"{story['outcome']}{code}, status {story['status']}, ended by the {story['ended_by']}"),
        (
            "caller",
            f"tenant {story['tenant'] or '-'}, key {story['key'] or '-'}, from {story['client'] or '-'}",
        ),
        (
            "asked for",
            f"{story['operation']} of {story['asked'] or story['model'] or '-'}, tier {story['tier'] or '-'}",
        ),
        *([("model", _way(story))] if story["asked"] else []),
        ("tokens", _tokens(story)),
    ]
    for name, text in facts:
        voice.tell(f"{name:<11}{text}")
    voice.table(
        ["PHASE", "FROM", "TOOK", "REPLICA"],
        [
            [each["name"], _ms(each["begin_ms"]), _ms(each["ms"]), each["replica"] or ""]
            for each in story["phases"]
        ],
        numbers=["FROM", "TOOK"],
    )
    for number, attempt in enumerate(story["history"], 1):
        voice.tell(f"attempt {number}: {attempt['replica']}, {attempt['ended']}")
        for each in attempt["candidates"]:
            terms = "".join(f"  {name} {value:.3g}" for name, value in each["terms"].items())
            voice.tell(f"    {each['replica']}  score {each['score']:.3g}{terms}")
    voice.tell("")


def _way(story: dict[str, Any]) -> str:
    """The models that a call with a route came by, to the one that it ended at."""
    return "".join(f"{each['model']} ({each['code']}), then " for each in story["left"]) + str(story["model"])


def _tokens(story: dict[str, Any]) -> str:
    if story["prompt_tokens"] is None:
        return "not known"
    predicted = story["cached_tokens_predicted"]
    guess = "" if predicted is None else f", {predicted} predicted"
    return f"{story['prompt_tokens']} in ({story['cached_tokens']} cached{guess}), {story['completion_tokens']} out"


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _ms(value: float) -> str:
    return f"{value:.1f} ms"
