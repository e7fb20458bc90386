"""Which processes belong to a worker, told without ever mistaking a stranger for one.

A worker is started as the leader of a session of its own; what it starts stays in that session. The leader's pid is the
session's number, and Linux does not give that number to a new process while any member of the session lives. So:

1. a process has the leader's pid and its start time: the session is ours;
2. a process has the pid and another start time: the number was given away, so none of ours is left;
3. no process has the pid: ours if a member seen earlier still lives (same pid and start time) - else the number could
   have been given away and left behind by a stranger, so nothing is touched.

Read from /proc and not through psutil: its start times are wall-clock times, which move when the clock is set.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_DEAD = {"Z", "X"}  # its exit status waits to be collected; nothing of it runs


class Identity(msgspec.Struct, frozen=True):
    """One process for good, within one boot of the machine: a pid alone is reused."""

    pid: int
    start_ticks: int
    """When it began, in clock ticks since boot."""

    def is_alive(self) -> bool:
        """Whether exactly this process still runs."""
        return identify(self.pid) == self


def identify(pid: int) -> Identity | None:
    """The process that has `pid` now; `None` when there is none, or only its exit status is left."""
    found = _stat(pid)
    return found and found[0]


def _stat(pid: int) -> tuple[Identity, int] | None:
    """Identity and session of a live process, from proc(5)'s stat: fields 3 (state), 6 (session), 22 (starttime)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name in parentheses may hold anything
    if fields[0] in _DEAD:
        return None
    return Identity(pid, int(fields[19])), int(fields[3])


def boot_id() -> str:
    """This boot of the machine: pids and start times of another one mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


class Session(msgspec.Struct, frozen=True):
    """A worker's processes: the leader, and the members seen so far."""

    leader: Identity
    seen: tuple[Identity, ...] = ()

    def members(self) -> tuple[Identity, ...]:
        """Every live process with this leader, itself included; empty when its process id is no longer ours."""
        leader = identify(self.leader.pid)
        if leader is not None and leader != self.leader:
            return ()
        if leader is None and not any(member.is_alive() for member in self.seen):
            return ()
        return tuple(_in_session(self.leader.pid))

    def look(self) -> Session:
        """The same leader with the processes that it has now; none left, or no longer ours: `seen` is empty."""
        return Session(self.leader, self.members())

    def look_after_exit(self) -> Session:
        """The same, for a leader whose exit was collected a moment ago: in that moment its number is not reused.

        What it started since the last look is still found, which rule 3 alone would not allow.
        """
        if identify(self.leader.pid) is not None:
            return self.look()
        return Session(self.leader, tuple(_in_session(self.leader.pid)))

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to every process of the session.

        The group is signalled in one system call, so that a process forked meanwhile is not missed; members that made
        a group of their own get the signal singly.
        """
        members = self.members()
        if not members:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.leader.pid, number)
        for member in members:
            with suppress(ProcessLookupError):
                if os.getpgid(member.pid) != self.leader.pid and member.is_alive():
                    os.kill(member.pid, number)


def _in_session(number: int) -> Iterator[Identity]:
    for name in os.listdir(_PROC):  # noqa: PTH208 - iterdir makes a Path for each of thousands of processes
        if name.isdecimal() and (found := _stat(int(name))) and found[1] == number:
            yield found[0]
