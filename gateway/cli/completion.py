"""`cascadia completion`: the script that teaches a shell the verbs and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP
from gateway.cli.output import Voice

app = typer.Typer(**APP)


class Shell(StrEnum):
    """Shells with a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@app.command(epilog="Example: source <(cascadia completion bash)")
def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.", show_default=False)]) -> int:
    """Print the completion script of a shell, to be sourced from its startup file."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined] # theirs, without an __all__

    from gateway.cli.edge import COMPLETE_VARIABLE, PROGRAM

    script = get_completion_script(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE, shell=shell.value)
    Voice().tell(script)
    return ExitCode.OK
