"""Why an engine environment could not be made, in words that an operator can act on."""

from __future__ import annotations


class InstallError(Exception):
    """The engine environment is not usable; nothing of it may be started.

    ``what`` failed, ``why`` it did, and ``next_step``: the command or change that most likely helps.
    """

    def __init__(self, what: str, why: str, next_step: str) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.what}\n  why:  {self.why}\n  next: {self.next_step}"


class UnsupportedMachine(InstallError):
    """This operating system, processor, C library or Python has no engine wheels."""


class UnusableTarget(InstallError):
    """The folder is not ours to fill, or engines still run from it."""


class NotEnoughDisk(InstallError):
    """The file system of the target has too little room left."""


class InstallerFailed(InstallError):
    """uv, pip or the final check ended with an error; the log file holds all of its output."""
