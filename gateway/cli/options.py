"""Options that several verbs share: one spelling, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

# Rich would add 80 ms to each --help, and its boxes do not survive a pipe.
APP: dict[str, Any] = {
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "add_completion": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}
"""Settings of every verb's Typer app."""

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Configuration file. Default: $CASCADIA_CONFIG, else ./cascadia.yaml if it exists.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of keys, sockets and state. Default: $XDG_DATA_HOME/cascadia.",
        show_default=False,
    ),
]
Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Address of the API. Default: 127.0.0.1:8000.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        max=64,
        help="Gateway processes on that address. Default: 1.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only data and errors.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No colours. NO_COLOR and TERM=dumb do the same.")]
ParentPid = Annotated[int | None, typer.Option("--parent-pid", hidden=True)]
