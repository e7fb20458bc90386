"""Writes down every attempt of a Python process to reach another machine. Imported by the interpreter itself.

Put this folder on PYTHONPATH and name the file in OUTBOUND_AUDIT_FILE. Loopback addresses and unix sockets are no
attempts; asking for the address of a name is one, whether or not a connection follows.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

_WATCHED = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.getaddrinfo": 0}
"""Event → where in its arguments the address is."""
_HERE = {"localhost", "", None}


def _is_elsewhere(address: Any) -> bool:
    host = address[0] if isinstance(address, tuple) else address
    host = host.decode("utf-8", "replace") if isinstance(host, bytes) else host
    if host in _HERE:
        return False
    try:
        found = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return True
    return not (found.is_loopback or found.is_unspecified)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    place = _WATCHED.get(event)
    if place is None:
        return
    address = arguments[place]
    is_unix = event != "socket.getaddrinfo" and not isinstance(address, tuple)
    if is_unix or not _is_elsewhere(address):
        return
    line = f"{os.getpid()} {sys.argv[:3]} {event} {address}\n"
    descriptor = os.open(os.environ["OUTBOUND_AUDIT_FILE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


if "OUTBOUND_AUDIT_FILE" in os.environ:
    sys.addaudithook(_watch)
