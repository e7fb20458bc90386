"""A configuration as text: for people (secrets hidden) and for our own processes (secrets kept, file private)."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from config.interpolate import escape
from config.load import Loaded
from config.schema import Config
from config.shape import KeyPath

HIDDEN = "********"
"""Stands where a secret is."""

_SECRET_NAME = re.compile("key|token|secret|password", re.IGNORECASE)


def plain(value: Any, *, reveal: bool) -> Any:
    """`value` as lists, tables and scalars; secrets as they are when `reveal`, else hidden."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name), reveal=reveal) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {name: plain(inner, reveal=reveal) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item, reveal=reveal) for item in value]
    if isinstance(value, SecretStr):
        return value.get_secret_value() if reveal else HIDDEN
    return str(value) if isinstance(value, Path) else value


def public(config: Config) -> dict[str, Any]:
    """`config` for those who may read it and not its secrets: what an engine's environment holds may be some too."""
    found: dict[str, Any] = plain(config, reveal=False)
    for group in found["engines"]:
        group["env"] = dict.fromkeys(group["env"], HIDDEN)
        group["args"] = _without_secrets(group["args"])
    return found


def _without_secrets(arguments: Sequence[str]) -> list[str]:
    """Command-line arguments; hidden is what follows one whose name says that a secret follows, by `=` or by itself."""
    shown: list[str] = []
    is_secret = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if is_secret and not argument.startswith("--"):
            shown.append(HIDDEN)
            is_secret = False
            continue
        is_secret = argument.startswith("-") and _SECRET_NAME.search(name) is not None
        shown.append(f"{name}={HIDDEN}" if is_secret and equals else argument)
        is_secret = is_secret and not equals
    return shown


def as_yaml(loaded: Loaded, *, defaults: bool, why: bool) -> str:
    """The configuration as YAML, secrets hidden; `defaults` too, and `why` each value is what it is, if asked."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - only to write

    yaml = YAML()
    yaml.width = 1 << 16
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    text = io.StringIO()
    yaml.dump(
        _Commented(loaded, defaults=defaults, why=why).table(plain(loaded.config, reveal=False), ()), text
    )
    return text.getvalue()


class _Commented:
    """Builds what ruamel writes with comments."""

    def __init__(self, loaded: Loaded, *, defaults: bool, why: bool) -> None:
        self._loaded = loaded
        self._defaults = defaults
        self._why = why

    def table(self, values: Mapping[str, Any], path: KeyPath) -> Any:
        from ruamel.yaml.comments import CommentedMap  # noqa: PLC0415

        table = CommentedMap()
        for name, value in values.items():
            self._put(table, name, value, (*path, name))
        return table

    def _items(self, values: Sequence[Any], path: KeyPath) -> Any:
        from ruamel.yaml.comments import CommentedSeq  # noqa: PLC0415

        items = CommentedSeq([None] * len(values))
        for index, value in enumerate(values):
            self._put(items, index, value, (*path, index))
        return items

    def _put(self, holder: Any, key: str | int, value: Any, path: KeyPath) -> None:
        if not self._is_shown(path):
            return
        if isinstance(value, dict) and value:
            holder[key] = self.table(value, path)
        elif isinstance(value, list) and value:
            holder[key] = self._items(value, path)
        else:
            holder[key] = value
            if self._why:
                holder.yaml_add_eol_comment(self._loaded.origin(path), key, column=0)

    def _is_shown(self, path: KeyPath) -> bool:
        """Whether a source set this value or something in it."""
        return self._defaults or any(known[: len(path)] == path for known in self._loaded.origins)


def snapshot(config: Config, file: Path) -> None:
    """Write the configuration, secrets included, to a file of mode 0600 that `config.load` reads back the same."""

    def escaped(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: escaped(inner) for name, inner in value.items() if inner is not None}
        if isinstance(value, list):
            return [escaped(item) for item in value]
        return escape(value) if isinstance(value, str) else value

    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(escaped(plain(config, reveal=True)), stream, indent=1)
    temporary.replace(file)
