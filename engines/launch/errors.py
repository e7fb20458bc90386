"""What stops a worker from being started, told so that an operator can mend it without reading a traceback."""

from __future__ import annotations


class LaunchError(Exception):
    """A worker cannot be started as configured; trying again without a change would fail again.

    `what` happened, `where` it is written (a key of the configuration, a path), `why` it is refused, and `remedy`:
    the next thing to do.
    """

    def __init__(self, what: str, *, where: str, why: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  why:   {self.why}\n  next:  {self.remedy}"


class ArgumentRefused(LaunchError):
    """An engine argument or variable that is ours to set, or that the engine does not know."""


class EnvironmentUnusable(LaunchError):
    """The engine's Python is missing, has no engine in it, or has one for other hardware."""


class ModelUnusable(LaunchError):
    """The weights are not where the configuration says."""


class SocketUnusable(LaunchError):
    """The folder or path of the workers' sockets cannot be used."""


class NotEnoughGpus(LaunchError):
    """More GPUs are asked for than this machine has to give."""


class NotEnoughSpace(LaunchError):
    """Memory or disk are too small for the weights."""


class AlreadySupervised(LaunchError):
    """Another supervisor runs on this data folder."""
