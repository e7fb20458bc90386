"""Load the configuration: file, environment and command line into one checked `Config`, or all that is wrong.

Precedence: command line, then environment, then file, then defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError

from config import complaints, document, secret_files, settings
from config.document import Document
from config.problems import ConfigErrors, ConfigProblem
from config.schema import Config
from config.shape import KeyPath, dotted, type_at

DEFAULT_FILE = "cascadia.yaml"
"""The file that is read from the working folder when none is named."""

_ROOT: KeyPath = ()


@dataclass(frozen=True, slots=True)
class Override:
    """A value of the command line. `append` adds it to a list instead of replacing it."""

    path: KeyPath
    value: Any
    flag: str
    append: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checked configuration and where each of its values came from."""

    config: Config
    file: Path | None
    origins: Mapping[KeyPath, str]
    """Place of each value that is not a default: `FILE:LINE:COLUMN`, a variable or a flag."""
    warnings: tuple[str, ...] = ()

    def origin(self, path: KeyPath) -> str:
        """What set the value at `path`, `default` when nothing did."""
        return self.origins.get(path, "default")


def find(named: Path | None, environ: Mapping[str, str], folder: Path) -> Path | None:
    """The configuration file: the one named, else `CASCADIA_CONFIG`, else `cascadia.yaml` in `folder`, else none."""
    if named is not None:
        return named
    if environ.get("CASCADIA_CONFIG"):
        return Path(environ["CASCADIA_CONFIG"])
    usual = folder / DEFAULT_FILE
    return Path(DEFAULT_FILE) if usual.exists() else None


def load(path: Path | None, environ: Mapping[str, str], *, overrides: Sequence[Override] = ()) -> Loaded:
    """Load the file at `path` (`None`: no file), the `CASCADIA_` variables of `environ` and `overrides`.

    Relative paths of the file are meant from the file's folder, all others from the working folder.
    Raises `ConfigErrors` with every problem found.
    """
    parsed = Document("") if path is None else document.read(path, str(path), environ)
    layers = _Layers(parsed, path)
    layers.take_file()
    found = settings.read(environ)
    for setting in found.settings:
        layers.put(setting.path, setting.value, setting.variable)
    for override in overrides:
        layers.put(override.path, override.value, override.flag, append=override.append)
    problems = [*parsed.problems, *found.problems]
    config, refused = _check(layers)
    problems += refused
    if config is not None:
        problems += _open_secrets(config, layers, environ)
    if config is None or problems:
        command = "cascadia check" + (f" --config {path}" if path else "")
        raise ConfigErrors(sorted(problems, key=_file_order), next_command=command)
    return Loaded(config, path, layers.leaves(), tuple(found.warnings))


def _file_order(problem: ConfigProblem) -> tuple[int, int]:
    """Line and column of a problem in the file; variables and flags come after it."""
    parts = problem.where.rsplit(":", 2)
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():  # noqa: PLR2004 - file, line, column
        return int(parts[1]), int(parts[2])
    return 1 << 30, 0


class _Layers:
    """The values of all sources, laid over each other, with the origin of each."""

    def __init__(self, parsed: Document, path: Path | None) -> None:
        self.parsed = parsed
        self.data: dict[str, Any] = parsed.data
        self.origins: dict[KeyPath, str] = dict(parsed.values)
        self._folder = path.absolute().parent if path else Path.cwd()

    def take_file(self) -> None:
        """Give interpolated values their type and relative paths of the file their folder."""
        for path in self.parsed.texts - self.parsed.broken:
            self._replace(path, _typed(self._at(path), path))
        for path in list(self.parsed.values):
            self._replace(path, _anchored(self._at(path), path, self._folder))

    def put(self, path: KeyPath, value: Any, origin: str, *, append: bool = False) -> None:
        """Set `path` to `value`, whatever stood there."""
        holder = self.data
        for part in path[:-1]:
            inner = holder.setdefault(str(part), {})
            if not isinstance(inner, dict):
                return  # the file has a wrong type here: that is what is reported
            holder = inner
        name = str(path[-1])
        before = holder.get(name)
        value = _anchored_within(value, path, Path.cwd())
        if append and isinstance(before, list):
            holder[name] = [*before, value]
            self._note((*path, len(before)), value, origin)
            return
        for inside in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[inside]
        holder[name] = [value] if append else value
        self._note(path, holder[name], origin)

    def _note(self, path: KeyPath, value: Any, origin: str) -> None:
        """Note what set `value` and everything in it."""
        self.origins[path] = origin
        inside = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for part, inner in inside:
            self._note((*path, part), inner, origin)

    def leaves(self) -> dict[KeyPath, str]:
        """The origins of single values: what holds others is set by nobody."""
        return {
            path: origin
            for path, origin in self.origins.items()
            if not (self._at(path) and isinstance(self._at(path), dict | list))
        }

    def where(self, path: KeyPath, *, key: bool) -> str:
        """Where to point for a problem at `path`: its key or value, else the nearest thing that holds it."""
        for length in range(len(path), 0, -1):
            here = path[:length]
            if (
                key
                and length == len(path)
                and here in self.parsed.keys
                and self.origins.get(here) == self.parsed.values.get(here)
            ):
                return self.parsed.keys[here]
            if here in self.origins:
                return self.origins[here]
            if here in self.parsed.keys:
                return self.parsed.keys[here]
        return f"{self.parsed.name}:1:1" if self.parsed.name else "command line"

    def _at(self, path: KeyPath) -> Any:
        value: Any = self.data
        for part in path:
            value = value[part]
        return value

    def _replace(self, path: KeyPath, value: Any) -> None:
        self._at(path[:-1])[path[-1]] = value


def _typed(text: str, path: KeyPath) -> Any:
    """Text out of a `${VAR}` as the number or boolean its key wants; anything else stays text."""
    wanted = type_at(path)
    if wanted not in {int, float, bool}:
        return text
    try:
        return TypeAdapter(wanted).validate_python(text)
    except ValidationError:
        return text


def _anchored_within(value: Any, path: KeyPath, folder: Path) -> Any:
    """The same, for a value that may hold others."""
    if isinstance(value, dict):
        return {name: _anchored_within(inner, (*path, name), folder) for name, inner in value.items()}
    if isinstance(value, list):
        return [_anchored_within(item, (*path, index), folder) for index, item in enumerate(value)]
    return _anchored(value, path, folder)


def _anchored(value: Any, path: KeyPath, folder: Path) -> Any:
    """A relative path made absolute; `model: ./folder` too, which without the dot is a Hugging Face id."""
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value:
        return value
    is_path = type_at(path) is Path or (path[-1] == "model" and value.startswith((".", "~")))
    return os.path.normpath(folder / Path(value).expanduser()) if is_path else value


def _check(layers: _Layers) -> tuple[Config | None, list[ConfigProblem]]:
    try:
        return Config.model_validate(layers.data), []
    except ValidationError as error:
        return None, [
            complaints.problem_of(
                detail, layers.where(complaints.path_of(detail), key=complaints.is_about_key(detail))
            )
            for detail in error.errors(include_url=False)
            if not _is_reported(complaints.path_of(detail), layers.parsed)
        ]


def _is_reported(path: KeyPath, parsed: Document) -> bool:
    return any(path[:length] in parsed.broken for length in range(len(path) + 1))


def _open_secrets(config: Config, layers: _Layers, environ: Mapping[str, str]) -> list[ConfigProblem]:
    """Secret files that others can get at, and a configuration file that holds a secret itself and is open."""
    problems = []
    for path, file in _secret_files(config):
        try:
            secret_files.check(file, environ)
        except secret_files.SecretFileError as error:
            problems.append(_open_secret(path, file, error, layers.where(path, key=False)))
    literal = _first_literal_secret(layers)
    if literal is not None and layers.parsed.name:
        file = Path(layers.parsed.name)
        try:
            secret_files.refuse_open_mode(file, file.stat().st_mode, environ)
        except secret_files.SecretFileError as error:
            problems.append(_open_secret(literal, file, error, layers.where(literal, key=False)))
    return problems


def _secret_files(config: Config) -> list[tuple[KeyPath, Path]]:
    found: list[tuple[KeyPath, Path]] = [
        (("upstreams", index, "api_key_file"), upstream.api_key_file)
        for index, upstream in enumerate(config.upstreams)
        if upstream.api_key_file is not None
    ]
    found += [
        (("identity", "keys", index, "key_file"), key.key_file)
        for index, key in enumerate(config.identity.keys)
        if key.key_file is not None
    ]
    if config.redis is not None and config.redis.password_file is not None:
        found.append((("redis", "password_file"), config.redis.password_file))
    if config.database.password_file is not None:
        found.append((("database", "password_file"), config.database.password_file))
    # A key file that is not there yet is created; one that is there must be private.
    if config.auth.keys_file is not None and config.auth.keys_file.exists():
        found.append((("auth", "keys_file"), config.auth.keys_file))
    return found


def _first_literal_secret(layers: _Layers) -> KeyPath | None:
    """A secret written out in the file, not taken from a variable."""
    for path in layers.parsed.values:
        if path in layers.parsed.texts or layers.origins.get(path) != layers.parsed.values[path]:
            continue
        if type_at(path) is SecretStr:
            return path
    return None


def _open_secret(path: KeyPath, file: Path, error: secret_files.SecretFileError, where: str) -> ConfigProblem:
    return ConfigProblem(
        "CFG010",
        where,
        f"'{dotted(path)}': {file}: {str(error)[0].lower()}{str(error)[1:]}",
        "a secret belongs to this user alone",
        hint="make it a file of mode 0600 or 0400",
        next_command=f"chmod 600 {file}" if file.exists() else f"ls -l {file}",
    )
