"""The configuration as a verb gets it: found, loaded, its warnings said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from config.load import Loaded, Override, find, load
from config.paths import Paths, paths_of
from config.schema import Config
from gateway.cli.output import Voice


@dataclass(frozen=True, slots=True)
class Setting:
    """What a verb works with."""

    loaded: Loaded
    paths: Paths

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.loaded.config


def load_setting(
    config: Path | None, data_dir: Path | None, voice: Voice, overrides: Sequence[Override] = ()
) -> Setting:
    """Find and load the configuration. Raises `ConfigErrors`."""
    flags = list(overrides)
    if data_dir is not None:
        flags.append(Override(("data_dir",), str(data_dir), "--data-dir"))
    loaded = load(find(config, os.environ, Path.cwd()), os.environ, overrides=flags)
    for warning in loaded.warnings:
        voice.warn(warning)
    return Setting(loaded, paths_of(loaded.config, os.environ))
