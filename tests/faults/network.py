"""Two hosts with a router between them, whose cable can be cut: network namespaces, for root alone.

Nothing is told to either side when it is: the router stops to forward, and what is sent is lost without a word. That needs
neither a packet filter nor a traffic shaper in the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

NEAR, FAR = "10.77.1.2", "10.77.2.2"
"""The addresses of the two hosts."""
_ROUTER = {"near": "10.77.1.1", "far": "10.77.2.1"}
_CLONE_NEWNET = 0x40000000


def why_not() -> str | None:
    """Why this user cannot have such a network on this machine; `None` when there is one to be had."""
    if os.geteuid() != 0:
        return "network namespaces with an address of their own need root"
    if shutil.which("ip") is None:
        return "there is no `ip` command"
    try:
        with Network("probe").made():
            return None
    except subprocess.CalledProcessError as error:
        return f"this kernel does not give the network: {error.stderr.decode(errors='replace').strip()}"


class Network:
    """The three namespaces. `name` tells those of one test from those of another."""

    def __init__(self, name: str) -> None:
        self._prefix = f"cut-{os.getpid()}-{name}"

    @contextlib.contextmanager
    def made(self) -> Iterator[Network]:
        """Make it for this block. Raises `CalledProcessError`."""
        try:
            for host in ("near", "router", "far"):
                _run("ip", "netns", "add", self._namespace(host))
                self._inside(host, "ip", "link", "set", "lo", "up")
            for host, address in (("near", NEAR), ("far", FAR)):
                self._wire(host, address)
            self.mend()
            yield self
        finally:
            for host in ("near", "router", "far"):
                subprocess.run(
                    ["ip", "netns", "delete", self._namespace(host)], capture_output=True, check=False
                )

    def cut(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self._forward("0")

    def mend(self) -> None:
        """It does again."""
        self._forward("1")

    def before(self, host: str) -> tuple[str, ...]:
        """What to put in front of a command that is to run on `host`: "near" or "far"."""
        return ("ip", "netns", "exec", self._namespace(host))

    @contextlib.contextmanager
    def on(self, host: str) -> Iterator[None]:
        """In this block, which must not await, sockets that this thread makes are `host`'s."""
        with Path("/proc/thread-self/ns/net").open("rb") as home:
            with Path(f"/run/netns/{self._namespace(host)}").open("rb") as there:
                _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def _inside(self, host: str, *command: str) -> None:
        _run(*self.before(host), *command)

    def _wire(self, host: str, address: str) -> None:
        """A pair of interfaces between `host` and the router."""
        _run(
            *("ip", "link", "add", "name", "cable", "netns", self._namespace(host), "type", "veth"),
            *("peer", "name", host, "netns", self._namespace("router")),
        )
        self._inside(host, "ip", "address", "add", f"{address}/24", "dev", "cable")
        self._inside("router", "ip", "address", "add", f"{_ROUTER[host]}/24", "dev", host)
        self._inside(host, "ip", "link", "set", "cable", "up")
        self._inside("router", "ip", "link", "set", host, "up")
        self._inside(host, "ip", "route", "add", "default", "via", _ROUTER[host])

    def _forward(self, value: str) -> None:
        self._inside("router", "sh", "-c", f"echo {value} > /proc/sys/net/ipv4/ip_forward")


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, check=True)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
