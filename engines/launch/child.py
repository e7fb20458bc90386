"""The last step before the engine's own first line: makes the process die with its supervisor, then becomes the engine.

Run as a script, by `python -I -S`, so that it needs no import path and costs a few milliseconds. It sets what a process
can only set for itself between fork and exec; `preexec_fn` could do it too, but is unsafe in a process with threads.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"  # the kernel ends an engine, which is restarted, before the gateway, which is not


def main(arguments: list[str]) -> None:
    """Become the program in `arguments[1:]`; `arguments[0]` is the pid of the supervisor to die with."""
    supervisor = int(arguments[0])
    # SIGTERM, not SIGKILL: vLLM then ends its own children, which SIGKILL would leave behind with the GPU's memory.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the line above took effect
        sys.exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold prompts and the key
    os.umask(0o077)
    # Some containers have no writable /proc; the score is a preference only.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - importing pathlib costs 6 ms
        file.write(_OOM_SCORE)
    os.execvpe(arguments[1], arguments[1:], os.environ)  # noqa: S606 - the argv is ours, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
