"""What runs inside the server: each script is one step, for which no other command is served meanwhile."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from gateway.ratelimit.shared.resp import command

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Script:
    """One script. It is called by its hash, and sent whole where the server does not know it."""

    source: bytes
    by_hash: bytes
    whole: bytes

    def load(self) -> bytes:
        """The command that makes it known."""
        return command(b"SCRIPT", b"LOAD", self.source)


@dataclass(frozen=True, slots=True)
class Scripts:
    """All of them."""

    take: Script
    give: Script
    beat: Script


def read(clock: str | None = None) -> Scripts:
    """The scripts, over the server's own clock; `clock` is the Lua of another one, for tests in which time is told."""
    head = (clock or _text("clock")) + _text("common")
    return Scripts(*[_script(head + _text(name)) for name in ("take", "give", "beat")])


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def _script(source: str) -> Script:
    text = source.encode()
    digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
    return Script(
        text, b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % digest, b"$4\r\nEVAL\r\n$%d\r\n%b\r\n" % (len(text), text)
    )
