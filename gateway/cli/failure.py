"""A verb that cannot go on: cause, fix, next command. The last thing its caller reads."""

from __future__ import annotations

from gateway.cli.exits import ExitCode


class Failure(Exception):
    """Ends the process with `code` after printing why, what mends it, and the command to run next."""

    def __init__(self, cause: str, *, fix: str, next_command: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(cause)
        self.cause = cause
        self.fix = fix
        self.next_command = next_command
        self.code = code

    def report(self) -> str:
        """Three lines; the last is the command to run next."""
        return f"error: {self.cause}\n  fix: {self.fix}\n next: {self.next_command}"
