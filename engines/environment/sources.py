"""Where the operator has told pip and uv to look for packages, and what that means for our own calls of them.

Two facts make this necessary. uv reads none of pip's settings, though an operator who has set only pip's expects
them to hold. And PyTorch for CPUs is not on PyPI: on a machine without any settings it must come from PyTorch's
own index, but an operator with settings (a mirror, a folder of wheels, no way out) is not to be led elsewhere.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TORCH_CPU_INDEX: Final = "https://download.pytorch.org/whl/cpu"

_PIP_KEYS: Final = ("index-url", "extra-index-url", "find-links", "no-index")
_PIP_SECTIONS: Final = ("global", "install")
_UV_KEYS: Final = (*_PIP_KEYS, "index", "torch-backend")
_UV_VARIABLES: Final = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
}
"""For each of pip's settings the variables of uv with the same meaning; the first is the current name."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The package sources that hold for one installer.

    ``names`` are the settings that say so, for messages (values may hold passwords); none: the public default.
    ``environment`` and ``arguments`` are what the installer must be given on top for the settings to hold.
    """

    names: tuple[str, ...]
    environment: Mapping[str, str]
    arguments: tuple[str, ...]

    @property
    def are_set(self) -> bool:
        """Tell whether the operator has chosen any source."""
        return bool(self.names)


def pip_sources(environ: Mapping[str, str]) -> Sources:
    """Return what pip finds by itself in its variables and configuration files."""
    settings = _pip_settings(environ)
    return Sources(tuple(name for name, _ in settings.values()), {}, ())


def uv_sources(environ: Mapping[str, str]) -> Sources:
    """Return uv's own settings, completed by those of pip's that uv has no counterpart of."""
    own = _uv_settings(environ)
    certificates = _uv_certificates(environ)
    if any("uv.toml" in name for name in own):  # a variable would override the file
        return Sources(own, certificates, ())
    names, environment = list(own), certificates
    arguments: tuple[str, ...] = ()
    for key, (name, value) in _pip_settings(environ).items():
        if key == "no-index":
            arguments = ("--no-index",)
        elif any(environ.get(variable) for variable in _UV_VARIABLES[key]):
            continue
        else:
            separator = "," if key == "find-links" else " "  # uv splits these two variables differently
            environment[_UV_VARIABLES[key][0]] = separator.join(value.split())
        names.append(name)
    return Sources(tuple(names), environment, arguments)


def _uv_certificates(environ: Mapping[str, str]) -> dict[str, str]:
    certificates = environ.get("PIP_CERT")
    return {"SSL_CERT_FILE": certificates} if certificates and not environ.get("SSL_CERT_FILE") else {}


def _pip_settings(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return key → (name of the setting, value); a variable wins over files, a later file over an earlier."""
    settings: dict[str, tuple[str, str]] = {}
    for file in _pip_files(environ):
        settings.update(_read_pip_file(file))
    for key in _PIP_KEYS:
        variable = f"PIP_{key.upper().replace('-', '_')}"
        if variable in environ:
            settings[key] = (variable, environ[variable])
    return {key: (name, value) for key, (name, value) in settings.items() if _is_given(key, value)}


def _is_given(key: str, value: str) -> bool:
    if key == "no-index":
        return value.strip().lower() in {"1", "true", "yes", "on", "y", "t"}
    return bool(value.strip())


def _pip_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that pip reads, lowest precedence first; PIP_CONFIG_FILE=/dev/null means none."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME", "/"))
    system = [Path(folder, "pip", "pip.conf") for folder in _system_folders(environ)]
    user = [home / ".pip" / "pip.conf", _user_folder(environ) / "pip" / "pip.conf"]
    return [*system, Path("/etc/pip.conf"), *user, *([Path(named)] if named else [])]


def _read_pip_file(file: Path) -> dict[str, tuple[str, str]]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):  # pip names the fault itself, and better, when it runs
        return {}
    found: dict[str, tuple[str, str]] = {}
    for section in filter(parser.has_section, _PIP_SECTIONS):
        for key, value in parser.items(section):
            if key.replace("_", "-") in _PIP_KEYS:
                found[key.replace("_", "-")] = (f"{key} in {file}", value)
    return found


def _uv_settings(environ: Mapping[str, str]) -> tuple[str, ...]:
    variables = [name for names in _UV_VARIABLES.values() for name in names] + ["UV_TORCH_BACKEND"]
    in_variables = [name for name in variables if environ.get(name)]
    return (*in_variables, *(name for file in _uv_files(environ) for name in _read_uv_file(file)))


def _uv_files(environ: Mapping[str, str]) -> Iterable[Path]:
    if environ.get("UV_NO_CONFIG"):
        return []
    if environ.get("UV_CONFIG_FILE"):
        return [Path(environ["UV_CONFIG_FILE"])]
    system = [Path(folder, "uv", "uv.toml") for folder in _system_folders(environ)]
    return [*system, Path("/etc/uv/uv.toml"), _user_folder(environ) / "uv" / "uv.toml"]


def _read_uv_file(file: Path) -> list[str]:
    # Python 3.10 lacks it, and must get as far as being told that the engine needs 3.11.
    import tomllib  # noqa: PLC0415

    try:
        table: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (
        OSError,
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
    ):  # absent, or uv names the fault when it runs
        return []
    keys = {*table, *table.get("pip", {})}
    return [f"{key} in {file}" for key in _UV_KEYS if key in keys]


def _system_folders(environ: Mapping[str, str]) -> list[str]:
    return [folder for folder in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":") if folder]


def _user_folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/"), ".config"))
