"""The outermost edge of the command line: finds the verb, runs it, and turns every end into an exit code.

Nothing but the standard library is imported before it is known which verb runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.verbs import VERBS, Verb, find, overview, suggest

PROGRAM = "cascadia"
COMPLETE_VARIABLE = "_CASCADIA_COMPLETE"
"""Set by a shell's completion script, to what it wants to know."""

_HELP = {"-h", "--help", "help"}


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run `cascadia ARGUMENTS`; returns its exit code and never raises."""
    try:
        code = _dispatch(list(arguments), environ)
        sys.stdout.flush()
    except Failure as failure:
        return _end(failure.report(), failure.code)
    except KeyboardInterrupt:
        return _end("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); what Python flushes at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the one outermost edge: a bug becomes a file and four lines
        from gateway.cli.crash import report_crash

        return _end(report_crash(error, environ), ExitCode.FAILED)
    return code


def _end(text: str, code: ExitCode) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    return code


def _dispatch(arguments: list[str], environ: Mapping[str, str]) -> int:
    if COMPLETE_VARIABLE in environ:
        return _complete()
    if not arguments or arguments[0] in _HELP:
        sys.stdout.write(overview() + "\n")
        return ExitCode.OK
    name = "version" if arguments[0] == "--version" else arguments[0]
    verb = find(name)
    if verb is None:
        raise _no_such_verb(name)
    return _call(verb, arguments[1:])


def _no_such_verb(name: str) -> Failure:
    kind = "option before the verb" if name.startswith("-") else "verb"
    near = None if name.startswith("-") else suggest(name)
    return Failure(
        f"there is no {kind} '{name}'",
        fix=f"did you mean '{near}'?" if near else "choose one of: " + ", ".join(verb.name for verb in VERBS),
        next_command=f"{PROGRAM} {near} --help" if near else f"{PROGRAM} --help",
        code=ExitCode.USAGE,
    )


def command_of(verb: Verb) -> Any:
    """The command that Typer builds for a verb."""
    from typer.main import get_command  # 45 ms, paid once a verb is known

    command = get_command(import_module(f"gateway.cli.{verb.module}").app)
    command.name = verb.name
    return command


def _call(verb: Verb, arguments: list[str]) -> int:
    import typer

    from gateway.cli.refusals import refused

    try:
        with refused():
            result = command_of(verb).main(
                args=arguments, prog_name=f"{PROGRAM} {verb.name}", standalone_mode=False
            )
    except SystemExit as gone:  # Typer's end when the reader of our output has gone, and nothing else's
        raise BrokenPipeError from gone
    except typer.TyperException as error:
        raise _misused(verb, error) from error
    if result == ExitCode.INTERRUPTED:  # what Typer makes of Ctrl-C, without a word
        raise KeyboardInterrupt
    return result if isinstance(result, int) else ExitCode.OK


def _misused(verb: Verb, error: Any) -> Failure:
    """An option or argument that does not fit. Typer's message may carry what was meant, in brackets."""
    cause, meant = str(error.format_message()).rstrip("."), ""
    for before, after in ((" (Possible options: ", ")"), (". Did you mean ", "?")):
        if before in cause:
            cause, _, meant = cause.removesuffix(after).partition(before)
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else f"{PROGRAM} {verb.name}"
    return Failure(
        cause[0].lower() + cause[1:],
        fix=f"did you mean {meant}?" if meant else "see its options",
        next_command=f"{path} --help",
        code=ExitCode.USAGE,
    )


def _complete() -> int:
    """Answer a shell's question about what may come next."""
    from typer.completion import completion_init  # type: ignore[attr-defined] # theirs, without an __all__
    from typer.core import TyperGroup

    completion_init()
    root = TyperGroup(name=PROGRAM, commands={verb.name: command_of(verb) for verb in VERBS})
    try:
        root.main(prog_name=PROGRAM, complete_var=COMPLETE_VARIABLE)
    except SystemExit as end:  # how Typer ends a completion
        return int(end.code or ExitCode.OK)
    return ExitCode.OK
