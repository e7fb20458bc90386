"""The roster as the verbs see it: only that of a supervisor which still runs."""

from __future__ import annotations

import psutil

from config.paths import Paths
from engines.roster import Roster, RosterError, read
from gateway.cli.failure import Failure


def published(paths: Paths) -> Roster | None:
    """The roster of the engine supervisor that runs on this data folder; `None` when none runs.

    Raises `Failure` when the file cannot be read.
    """
    try:
        roster = read(paths.roster)
    except (OSError, RosterError) as error:
        raise Failure(
            f"the roster of the engines cannot be read: {error}",
            fix="check who owns the data folder",
            next_command=f"ls -l {paths.roster}",
        ) from error
    return roster if roster is not None and _runs(roster) else None


def _runs(roster: Roster) -> bool:
    try:
        return abs(psutil.Process(roster.pid).create_time() - roster.start_time) < 1
    except psutil.Error:
        return False
