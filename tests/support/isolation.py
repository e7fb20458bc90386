"""A network of one's own, with nothing in it but loopback, in which the kernel counts who wants to get out.

Run as a script it becomes the command that it is given, inside such a network: with the right to make one (root), or
as a user whom the kernel lets make namespaces. Every attempt to reach an address that is not there - from any thread,
in any language, by TCP or UDP - raises the kernel's own counters of what has no route.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_COUNTED = ("Ip OutNoRoutes", "Ip6OutNoRoutes", "Udp OutDatagrams", "Udp6OutDatagrams")
"""Also every datagram sent: a question to a name server on loopback has a route, and wants out all the same."""

ISOLATE = (sys.executable, __file__)
"""In front of a command: run it in a network of its own."""


def is_possible() -> bool:
    """Whether this user may make a network on this machine."""
    return subprocess.run([*ISOLATE, "true"], capture_output=True, check=False).returncode == 0


def attempts(pid: int) -> dict[str, int]:
    """What the kernel counted in the network of process `pid`: counter → attempts to get out of it."""
    found = {**_ipv4(Path(f"/proc/{pid}/net/snmp")), **_ipv6(Path(f"/proc/{pid}/net/snmp6"))}
    return {name: found[name] for name in _COUNTED if found.get(name)}


def _ipv4(file: Path) -> dict[str, int]:
    """Pairs of lines: `Ip: NAME NAME`, `Ip: 1 2`."""
    lines = [line.split() for line in file.read_text("ascii").splitlines()]
    return {
        f"{names[0].rstrip(':')} {name}": int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }


def _ipv6(file: Path) -> dict[str, int]:
    """Lines `NAME 1`; no file where the kernel has no IPv6."""
    if not file.exists():
        return {}
    pairs = (line.split() for line in file.read_text("ascii").splitlines())
    return {name: int(value) for name, value in pairs}


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _isolate() -> None:
    if os.geteuid() == 0:
        _unshare(_CLONE_NEWNET)
    else:
        _unshare(_CLONE_NEWNET | _CLONE_NEWUSER)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", _IFF_UP)  # struct ifreq: name and flags
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)


if __name__ == "__main__":
    _isolate()
    os.execvp(sys.argv[1], sys.argv[1:])
