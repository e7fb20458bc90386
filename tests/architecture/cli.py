"""A command line as the program would read it, without running it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.cli.edge import command_of
from gateway.cli.verbs import find


def parse(words: Sequence[str]) -> None:
    """Parse `cascadia WORDS`. Raises for a verb, option or argument that does not exist or does not fit."""
    verb = find(words[0])
    if verb is None:
        raise ValueError(f"there is no verb {words[0]}")
    command = command_of(verb)
    with command.make_context(verb.name, list(words[1:])) as context:
        rest = [*getattr(context, "_protected_args", []), *context.args]
        if rest and hasattr(command, "resolve_command"):
            name, sub, arguments = command.resolve_command(context, rest)
            # A sub-command that a text names without its arguments is a name, not a call.
            sub.make_context(name, list(arguments), parent=context, resilient_parsing=not arguments)
