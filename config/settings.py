"""Environment overrides: `CASCADIA_SECTION__FIELD=value`, and `CASCADIA_SECTION__FIELD_FILE=/path` for secrets.

pydantic-settings turns the text of a variable into the type of its key; lists and tables are written as JSON. This
module decides which variable means which key, one variable at a time, so that each problem names its variable.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import secret_files
from config.problems import ConfigProblem
from config.shape import KeyPath, dotted, sections, type_at

if TYPE_CHECKING:
    from pydantic_settings import EnvSettingsSource

PREFIX = "CASCADIA_"
DELIMITER = "__"
FILE_SUFFIX = "_FILE"

NOT_SETTINGS = {
    "CASCADIA_CONFIG": "Path of the configuration file.",
    "CASCADIA_API_KEY": "API key that `cascadia models` sends.",
    "CASCADIA_ADMIN_TOKEN": "Admin token that commands send to a running gateway.",
}
"""Variables of ours that are not keys of the configuration, with what they are."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A key that a variable sets. `value` has the type of the key, or is the text where it cannot have it."""

    path: KeyPath
    value: Any
    variable: str


@dataclass(slots=True)
class Environment:
    """What the environment says about the configuration."""

    settings: list[Setting] = field(default_factory=list)
    problems: list[ConfigProblem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def variable_of(path: KeyPath) -> str:
    """Name of the variable that sets `path`."""
    return PREFIX + DELIMITER.join(str(part) for part in path).upper()


def known_variables() -> Iterator[str]:
    """Every variable that is understood, without the `_FILE` forms."""
    yield from NOT_SETTINGS
    for place, name in sections():
        if "[]" not in place:
            yield variable_of((*place.split("."), name) if place else (name,))


def read(environ: Mapping[str, str]) -> Environment:
    """Read all `CASCADIA_` variables of `environ`. Nothing is raised: problems and warnings are in the result."""
    found = Environment()
    for variable in sorted(name for name in environ if name.startswith(PREFIX) and name not in NOT_SETTINGS):
        _read_one(variable, environ, found)
    return found


def _read_one(variable: str, environ: Mapping[str, str], found: Environment) -> None:
    text = environ[variable]
    path = _path_of(variable)
    if path is None and variable.endswith(FILE_SUFFIX):
        path = _path_of(variable.removesuffix(FILE_SUFFIX))
        if path is not None:
            try:
                text = secret_files.read(Path(text), environ)
            except secret_files.SecretFileError as error:
                found.problems.append(_refused_file(variable, text, error))
                return
    if path is None:
        found.warnings.append(_unknown(variable))
        return
    try:
        found.settings.append(Setting(path, _typed(path, text), variable))
    except ValueError:
        found.problems.append(_not_json(variable, path))


def _path_of(variable: str) -> KeyPath | None:
    path: KeyPath = tuple(variable.removeprefix(PREFIX).lower().split(DELIMITER))
    return path if type_at(path) is not None else None


def _typed(path: KeyPath, text: str) -> Any:
    """`text` as the type of the key at `path`. Raises `ValueError` when a list or table is not JSON."""
    from pydantic_settings import SettingsError  # noqa: PLC0415 - only paid for where a variable is set

    try:
        value: Any = _source({variable_of(path): text})()
    except SettingsError as error:
        raise ValueError(str(error)) from error
    for part in path:
        value = value[part]
    return value


def _source(variables: Mapping[str, str]) -> EnvSettingsSource:
    from pydantic import create_model  # noqa: PLC0415
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict  # noqa: PLC0415

    from config.schema import Config  # noqa: PLC0415

    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in Config.model_fields.items()}
    keys = create_model("Keys", __base__=BaseSettings, **fields)
    keys.model_config = SettingsConfigDict(strict=True)
    source = EnvSettingsSource(keys, env_prefix=PREFIX, env_nested_delimiter=DELIMITER)
    # The source reads os.environ; ours is an argument.
    source.env_vars = {name.lower(): text for name, text in variables.items()}
    return source


def _unknown(variable: str) -> str:
    near = difflib.get_close_matches(variable, list(known_variables()), n=1)
    return f"{variable} is not a setting and is ignored" + (f": did you mean {near[0]}?" if near else "")


def _not_json(variable: str, path: KeyPath) -> ConfigProblem:
    return ConfigProblem(
        "CFG012",
        variable,
        "the value is not JSON",
        f"'{dotted(path)}' is a list or a table; a variable gives it as JSON",
        hint='for example \'[{"url": "http://127.0.0.1:9000"}]\'',
        next_command=f"unset {variable}",
    )


def _refused_file(variable: str, path: str, error: secret_files.SecretFileError) -> ConfigProblem:
    return ConfigProblem(
        "CFG010",
        variable,
        f"cannot take the secret from {path}: {error}",
        "a secret's file is readable by its owner alone",
        hint="make it a file of mode 0600 or 0400",
        next_command=f"chmod 600 {path}",
    )
