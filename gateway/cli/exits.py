"""How `cascadia` ends: the exit codes, in one place."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every verb. 69 and 78 are sysexits.h's; systemd can be told not to restart on 78."""

    OK = 0
    FAILED = 1
    USAGE = 2
    GATE = 3
    UNREACHABLE = 69
    CONFIG = 78
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "Done.",
    ExitCode.FAILED: "It failed; the last lines say why and what to run next. A second instance ends so too.",
    ExitCode.USAGE: "A verb, option or argument that does not exist or does not fit.",
    ExitCode.GATE: "Checked, and a requirement is not met (`doctor`).",
    ExitCode.UNREACHABLE: "Nothing runs there, or it does not answer (`status`, `models`).",
    ExitCode.CONFIG: "The configuration is wrong; nothing was started. Starting again without a change fails again.",
    ExitCode.INTERRUPTED: "Interrupted by Ctrl-C before it was done. `up` ends with 0 when it has drained.",
}
"""Exit code → what it means, for the reference."""
