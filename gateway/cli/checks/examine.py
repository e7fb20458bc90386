"""All checks, one after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from config.load import Loaded
from config.paths import Paths, default_data_dir
from config.problems import ConfigErrors
from config.schema import Config
from gateway.cli.checks import engines, machine, stores
from gateway.cli.checks.finding import Finding, Level
from gateway.cli.output import Voice
from gateway.cli.setting import Setting, load_setting


def examine(config: Path | None, data_dir: Path | None, voice: Voice) -> list[Finding]:
    """All findings, in the order in which a start would meet them."""
    setting, finding = _configuration(config, data_dir, voice)
    checks: tuple[Callable[[Setting], Iterator[Finding]], ...] = (
        machine.python,
        machine.files,
        machine.clock,
        machine.data_folder,
        machine.ports,
        stores.keys,
        engines.gpus,
        engines.engine,
        engines.models,
        stores.redis,
    )
    return [finding, *(found for check in checks for found in check(setting))]


def _configuration(config: Path | None, data_dir: Path | None, voice: Voice) -> tuple[Setting, Finding]:
    """The configuration; where it is wrong, the defaults, so that the other checks still say something."""
    try:
        setting = load_setting(config, data_dir, voice)
    except ConfigErrors as errors:
        first = errors.problems[0]
        paths = Paths(data_dir or default_data_dir(os.environ))
        found = f"{first.where}: {first.what} (problem 1 of {len(errors.problems)})"
        return Setting(Loaded(Config(), None, {}), paths), Finding(
            "configuration", Level.FAIL, found, errors.next_command
        )
    source = str(setting.loaded.file) if setting.loaded.file else "no file, defaults in force"
    return setting, Finding("configuration", Level.OK, source)
