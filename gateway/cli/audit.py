"""`cascadia audit`: the log of who changed what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit import AuditLog

app = typer.Typer(**APP, help="Show and check the audit log.")


def _log(config: Path | None, data_dir: Path | None, voice: Voice) -> AuditLog:
    from gateway.administration import audit_log
    from gateway.cli.setting import load_setting

    return audit_log(load_setting(config, data_dir, voice).paths)


@app.command("list", epilog="Example: cascadia audit list --limit 100 --json")
def list_entries(
    limit: Annotated[int, typer.Option("--limit", min=1, help="The last so many.")] = 20,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> int:
    """List the last entries, oldest first."""
    from collections import deque

    import msgspec

    voice = Voice(no_color=no_color)
    lines = deque(_log(config, data_dir, voice).lines(), limit)
    try:
        entries = [msgspec.json.decode(line) for line in lines]
        rows = [
            [
                entry["at"][:19].replace("T", " "),
                entry["actor"],
                entry["role"] or "-",
                entry["action"],
                entry["object"] or "-",
                entry["outcome"],
            ]
            for entry in entries
        ]
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise Failure(
            "the audit log is damaged", fix="see where", next_command="cascadia audit verify"
        ) from error
    if as_json:
        print_json(entries=entries)
    else:
        voice.table(["UTC", "ACTOR", "ROLE", "ACTION", "OBJECT", "OUTCOME"], rows)
    return ExitCode.OK


@app.command(epilog="Example: cascadia audit verify --anchor 12:5f70bf18a086007016e948b04aed3b82103a36be...")
def verify(
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            "--anchor",
            metavar="SEQ:HASH",
            help="What a line `audit anchor` of the log stream said; can be repeated.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> int:
    """Check that no entry was changed, left out or added in between. Ends with 1 when one was.

    Who owns the data folder could write all of it anew: only anchors that are kept elsewhere tell of that.
    """
    from gateway.audit.verify import verify as check

    voice = Voice()
    verdict = check(_log(config, data_dir, voice), [_anchor(text) for text in anchor or ()])
    if as_json:
        print_json(
            entries=verdict.entries, seq=verdict.head.seq, hash=verdict.head.hash, problems=verdict.problems
        )
    else:
        for problem in verdict.problems:
            voice.tell(problem)
        if not verdict.problems:
            voice.tell(
                f"{verdict.entries} entries, none changed or missing; the last has {verdict.head.hash}"
            )
    return ExitCode.FAILED if verdict.problems else ExitCode.OK


def _anchor(text: str) -> tuple[int, str]:
    seq, _, hash_ = text.partition(":")
    if not seq.isdigit() or len(hash_) != 64:  # noqa: PLR2004 - SHA-256 in hex
        raise Failure(
            f"'{text}' is no anchor",
            fix="give SEQ:HASH as a line `audit anchor` has them",
            next_command="cascadia audit verify --help",
            code=ExitCode.USAGE,
        )
    return int(seq), hash_
