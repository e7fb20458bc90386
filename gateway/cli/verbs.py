"""The verbs as a table, and the page that lists them.

Standard library only: this is all that a bare `cascadia --help` and a misspelt verb import.
"""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    """One verb: its module in this package has an `app` that runs it."""

    name: str
    module: str
    heading: str
    summary: str


VERBS = (
    Verb("up", "up", "Run", "Start engines and gateway; without a configuration, the bundled model"),
    Verb("gateway", "gateway", "Run", "Run the gateway alone"),
    Verb("engines", "engines", "Run", "Run the engine workers alone, or install their environment"),
    Verb("status", "status", "Look", "What runs here: gateway, workers, and why one is not ready"),
    Verb("explain", "explain", "Look", "What became of a request, and why"),
    Verb("models", "models", "Look", "Which models can be called"),
    Verb("usage", "usage", "Look", "Requests and tokens, by team, model, key or day"),
    Verb("doctor", "doctor", "Look", "What is missing on this machine, and the command that mends it"),
    Verb("simulate", "simulate", "Look", "What engines could carry: a scenario of load in virtual time"),
    Verb("version", "version", "Look", "Versions of the program, Python and the engine"),
    Verb("check", "check", "Configure", "Check the configuration and the engines without starting anything"),
    Verb("config", "configuration", "Configure", "Show what is in force and why, or the file's schema"),
    Verb("keys", "keys", "Configure", "Create, list, rotate and revoke API keys"),
    Verb("users", "users", "Configure", "Create, list and suspend users and service accounts"),
    Verb("teams", "teams", "Configure", "Create, list and suspend teams"),
    Verb("organisations", "organisations", "Configure", "Create, list and suspend organisations"),
    Verb("admin", "admin", "Configure", "Create, list and revoke admin tokens"),
    Verb("audit", "audit", "Configure", "Show and check the log of who changed what"),
    Verb("completion", "completion", "Configure", "Print the completion script of a shell"),
)

_FRAME = """\
cascadia: an OpenAI-compatible gateway over your own engines

Usage: cascadia VERB [OPTIONS]
{verbs}

Each verb explains itself: cascadia VERB --help
Verbs that read print JSON with --json. Settings: cascadia.yaml, CASCADIA_... variables, options.

Example: cascadia up --upstream http://127.0.0.1:9000"""


def overview() -> str:
    """The page of a bare `cascadia --help`."""
    lines = []
    for index, verb in enumerate(VERBS):
        if index == 0 or verb.heading != VERBS[index - 1].heading:
            lines += ["", f"{verb.heading}:"]
        lines.append(f"  {verb.name:<15}{verb.summary}")
    return _FRAME.format(verbs="\n".join(lines))


def find(name: str) -> Verb | None:
    """The verb of that name."""
    return next((verb for verb in VERBS if verb.name == name), None)


def suggest(name: str) -> str | None:
    """The verb that was probably meant."""
    import difflib  # only for a name that is not there

    near = difflib.get_close_matches(name.lower(), [verb.name for verb in VERBS], n=1, cutoff=0.5)
    return near[0] if near else None
