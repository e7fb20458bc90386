"""What a verb prints: data on standard output, talk on standard error, colour for state alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH = 100
"""Widest table, in columns."""

SHAPE_VERSION = 1
"""Version of the JSON that verbs print; raised when a key changes its meaning or goes."""

STATE_STYLES = {
    "ok": "green",
    "ready": "green",
    "warn": "yellow",
    "starting": "yellow",
    "waiting": "yellow",
    "draining": "yellow",
    "fail": "red",
    "failed": "red",
    "revoked": "red",
}
"""Word → colour. The word itself is always printed: colour never stands alone."""


def print_json(**values: Any) -> None:
    """Print one JSON object with the version of its shape."""
    sys.stdout.write(json.dumps({"version": SHAPE_VERSION, **values}, indent=2, ensure_ascii=False) + "\n")


@dataclass(frozen=True, slots=True)
class Voice:
    """Prints for one call of a verb."""

    quiet: bool = False
    no_color: bool = False

    def say(self, line: str) -> None:
        """Talk: progress, warnings, what was done."""
        if not self.quiet:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

    def warn(self, line: str) -> None:
        """A warning, which --quiet does not silence."""
        sys.stderr.write(f"warning: {line}\n")
        sys.stderr.flush()

    def tell(self, line: str) -> None:
        """Data."""
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def table(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()
    ) -> None:
        """Print a table; the columns named in `numbers` are aligned right, words of state are coloured."""
        from rich.box import SIMPLE_HEAD  # 80 ms, only for tables
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console(no_color=self.no_color or None, highlight=False)
        width = min(console.width, WIDTH) if console.is_terminal else WIDTH
        console.width = width
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for heading in headings:
            table.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(cell, style=STATE_STYLES.get(cell, "")) for cell in row))
        console.print(table)

    def state(self, word: str, text: str) -> None:
        """A line that begins with a word of state, in that state's colour."""
        from rich.console import Console
        from rich.text import Text

        line = Text.assemble((f"{word:<5}", STATE_STYLES.get(word, "")), text)
        Console(no_color=self.no_color or None, highlight=False, soft_wrap=True).print(line)
