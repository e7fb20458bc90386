"""`${VAR}`, `${VAR:-default}` and the escape `$${` inside text values."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_INSIDE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)


class UnsetVariable(Exception):
    """A `${VAR}` without default whose variable is not set. `name` is the variable."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BadReference(Exception):
    """A `${` that is not followed by a name and a closing brace."""


def has_reference(text: str) -> bool:
    """Whether `text` holds anything that `interpolate` would change or refuse."""
    return "${" in text


def interpolate(text: str, environ: Mapping[str, str]) -> str:
    """Put the variables of `environ` into `text`. What is put in is not looked at again.

    A variable set to nothing counts as unset, as with `:-` in a shell.
    Raises `UnsetVariable` or `BadReference`.
    """

    def value(match: re.Match[str]) -> str:
        if match["inside"] is None:
            return "${"
        inside = _INSIDE.fullmatch(match["inside"])
        if inside is None or not match["end"]:
            raise BadReference(match[0])
        name, default = inside["name"], inside["default"]
        if environ.get(name):
            return environ[name]
        if default is None:
            raise UnsetVariable(name)
        return str(default)

    return _REFERENCE.sub(value, text)


def escape(text: str) -> str:
    """Write `text` so that `interpolate` gives it back unchanged."""
    return text.replace("${", "$${")
