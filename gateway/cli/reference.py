"""Writes the reference pages from the program itself: `python -m gateway.cli.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from config.json_schema import json_schema, schema_text
from config.problems import CODES
from config.settings import FILE_SUFFIX, NOT_SETTINGS, variable_of
from gateway.cli.edge import PROGRAM, command_of
from gateway.cli.exits import MEANINGS
from gateway.cli.verbs import VERBS, overview

_WIDTH: Final = 100
_COMMAND: Final = "python -m gateway.cli.reference"


def pages() -> dict[str, str]:
    """Every generated file: its path from the repository's root, and its text."""
    return {
        "docs/cli.md": cli_page(),
        "docs/configuration.md": configuration_page(),
        "config/cascadia.schema.json": schema_text(),
    }


def cli_page() -> str:
    """The command line: each verb's help, and the exit codes."""
    lines = [
        "# Command line",
        "",
        f"Written by `{_COMMAND}`.",
        "",
        *_block(overview()),
        "",
        "## Exit codes",
        "",
    ]
    lines += [
        "| code | meaning |",
        "|---:|---|",
        *(f"| {code.value} | {text} |" for code, text in MEANINGS.items()),
    ]
    lines += ["", "JSON of `--json` carries `version`; a key that changes its meaning or goes raises it.", ""]
    for verb in VERBS:
        lines += [f"## {PROGRAM} {verb.name}", ""]
        for path, text in helps(command_of(verb), f"{PROGRAM} {verb.name}"):
            lines += [f"### {path}", ""] if path != f"{PROGRAM} {verb.name}" else []
            lines += [*_block(text), ""]
    return "\n".join(lines).rstrip() + "\n"


def helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """The help of a command and of its sub-commands, each with the words that call it."""
    context = command.make_context(
        path, [], resilient_parsing=True, terminal_width=_WIDTH, max_content_width=_WIDTH
    )
    yield path, command.get_help(context)
    for name, inner in getattr(command, "commands", {}).items():
        yield from helps(inner, f"{path} {name}")


def _block(text: str) -> list[str]:
    return ["```text", *(line.rstrip() for line in text.splitlines()), "```"]


def configuration_page() -> str:
    """The configuration: every key with type, default, variable and meaning; the codes of refusals."""
    schema = json_schema()
    lines = [
        *(
            "# Configuration",
            "",
            f"Written by `{_COMMAND}`. The annotated file: [`config/cascadia.yaml`](../config/cascadia.yaml).",
            "",
        ),
        *("One YAML file. Precedence: options, then environment, then file, then defaults.", ""),
        "Found by `--config`, else `$CASCADIA_CONFIG`, else `./cascadia.yaml`; without a file the defaults are in force.",
        *("", "## Variables", ""),
        f"`CASCADIA_SECTION__KEY` sets a key, lists and tables as JSON; `..{FILE_SUFFIX}` takes it from a file of mode 0600.",
        "In text values of the file `${NAME}` and `${NAME:-default}` are replaced; `$${` is a plain `${`.",
        "Files under `/run/secrets` and `$CREDENTIALS_DIRECTORY` may have the modes Docker and systemd give them.",
        *("", "| variable | meaning |", "|---|---|"),
        *(f"| `{name}` | {meaning} |" for name, meaning in NOT_SETTINGS.items()),
        "",
    ]
    lines += _section(schema, schema, "")
    lines += [
        "## Refusals",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {c} | {text} |" for c, text in CODES.items()),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _section(schema: Mapping[str, Any], section: Mapping[str, Any], place: str) -> list[str]:
    title = f"## `{place}`" if place else "## Top level"
    intro = [str(section["description"]), ""] if place else []
    lines = [title, "", *intro, "| key | type | default | variable | meaning |", "|---|---|---|---|---|"]
    below: list[str] = []
    required = section.get("required", [])
    for name, value in section["properties"].items():
        inner, suffix = _inner(schema, value)
        path = f"{place}.{name}" if place else name
        variable = (
            "" if "[]" in place or (inner and not suffix) else f"`{variable_of(tuple(path.split('.')))}`"
        )
        default = "required" if name in required else _default(value, inner)
        lines.append(
            f"| `{name}` | {_type(schema, value)} | {default} | {variable} | {_meaning(value, inner)} |"
        )
        if inner is not None:
            below += _section(schema, inner, f"{path}{suffix}")
    return [*lines, "", *below]


def _resolved(schema: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(value.get("$ref", "")).rsplit("/", 1)[-1]
    return schema["$defs"][name] if name else value


def _options(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The types a value may have, `null` left out: it means the default."""
    return [option for option in value.get("anyOf", [value]) if option.get("type") != "null"]


def _inner(schema: Mapping[str, Any], value: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """The section that a key holds, and `[]` when it holds a list of them."""
    for option in _options(value):
        if "$ref" in option:
            return _resolved(schema, option), ""
        if "$ref" in option.get("items", {}):
            return _resolved(schema, option["items"]), "[]"
    return None, ""


def _type(schema: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    return " or ".join(_type_of(schema, option) for option in _options(value))


def _type_of(schema: Mapping[str, Any], option: Mapping[str, Any]) -> str:
    if "$ref" in option:
        return "table"
    if "const" in option:
        return f"`{option['const']}`"
    if "enum" in option:
        return ", ".join(f"`{word}`" for word in option["enum"])
    if option["type"] == "array":
        return (
            f"list of {_type(schema, option['items'])}" if "$ref" not in option["items"] else "list of tables"
        )
    if option["type"] == "object":
        return "table of tables" if "$ref" in option["additionalProperties"] else "table of text"
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    special = {"path": "path", "password": "secret"}
    return special.get(option.get("format", ""), names[option["type"]]) + _bounds(option)


def _bounds(option: Mapping[str, Any]) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
    found = [
        f"{sign} {option[name]:g}" if option[name] < 10**6 else f"{sign} {option[name]}"
        for name, sign in words.items()
        if name in option
    ]
    return f" {' and '.join(found)}" if found else ""


def _default(value: Mapping[str, Any], inner: Mapping[str, Any] | None) -> str:
    default = value.get("default")
    if default is None or inner is not None:
        return ""
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{text}`"


def _meaning(value: Mapping[str, Any], inner: Mapping[str, Any] | None) -> str:
    text = value.get("description") or (inner or {}).get("description") or ""
    return str(text).replace("|", "\\|").replace("\n", " ")


def main(root: Path = Path()) -> int:
    """Write all pages below `root`; returns the exit code."""
    for name, text in pages().items():
        (root / name).write_text(text, encoding="utf-8")
        sys.stderr.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
