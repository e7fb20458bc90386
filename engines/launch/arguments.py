"""What an operator may add to an engine's command line and environment, and what is ours alone.

The operator's words come last and win, except for the few that would cut the worker off from its supervisor or open it
to others. vLLM reports an unknown flag only after 12 s of imports; the list beside this file tells at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources

from engines.launch.errors import ArgumentRefused

FLAGS_OF = "0.32"
"""The vLLM release line whose flags are listed. Another release may know others, so there we do not judge."""

OWNED_FLAGS: Mapping[str, str] = {
    "--api-key": "each start has a random key, passed by environment so that no process list shows it",
    "--config": "it could set any of the flags that the supervisor owns; write the flags themselves",
    "--grpc": "the gateway speaks HTTP to its workers",
    "--headless": "a worker without an API server can never become ready",
    "--host": "workers listen on a private socket or on 127.0.0.1 only; use `transport:`",
    "--model": "it is the group's `model:`",
    "--port": "the supervisor picks a free one; use `transport: tcp`",
    "--root-path": "the gateway calls /v1 on the worker",
    "--served-model-name": "it is the group's `serve_as:`",
    "--ssl-ca-certs": "the socket is private to this machine",
    "--ssl-certfile": "the socket is private to this machine",
    "--ssl-keyfile": "the socket is private to this machine",
    "--uds": "the supervisor places the socket in a private folder; use `transport:`",
}
"""Flags that the supervisor sets or forbids, with the reason."""

OWNED_VARIABLES: Mapping[str, str] = {
    "CUDA_DEVICE_ORDER": "GPUs are given to workers in PCI bus order",
    "CUDA_VISIBLE_DEVICES": "GPUs are given to workers by the supervisor; use `gpus_per_replica:`",
    "PYTHONOPTIMIZE": "it removes checks that the engine relies on",
    "PYTHONUNBUFFERED": "progress is read from the engine's output as it is written",
    "VLLM_API_KEY": "each start has a random key",
    "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "it must outlast the gateway's idle connections",
    "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "a dead engine must exit so that it is restarted",
    "VLLM_SERVER_DEV_MODE": "it opens routes that run arbitrary code",
}
"""Variables that the supervisor sets or forbids, with the reason."""

_NUMBER = re.compile(r"-\d+(\.\d+)?")


def flag_name(argument: str) -> str | None:
    """The flag that `argument` names as vLLM reads it; `None` for a value.

    vLLM takes `--max_model_len`, `--max-model-len=1`, `--speculative-config.method x` and `-O3` alike.
    """
    if not argument.startswith("-") or argument == "-" or _NUMBER.fullmatch(argument):
        return None
    if argument.startswith("-O"):
        return "-O"
    return argument.split("=", 1)[0].split(".", 1)[0].rstrip("+").replace("_", "-")


def flags_of(arguments: Iterable[str]) -> frozenset[str]:
    """Every flag named in `arguments`, `--no-x` counted as `--x`."""
    names = (flag_name(argument) for argument in arguments)
    return frozenset(re.sub(r"^--no-", "--", name) for name in names if name)


def value_of(arguments: Sequence[str], flag: str) -> str | None:
    """The last value that `arguments` give `flag`, however it is written; `None` when they do not name it."""
    found = None
    for index, argument in enumerate(arguments):
        if flag_name(argument) == flag:
            _, equals, value = argument.partition("=")
            found = value if equals else next(iter(arguments[index + 1 :]), None)
    return found


@cache
def known_flags() -> frozenset[str]:
    """The flags of vLLM `FLAGS_OF`."""
    text = resources.files("engines.launch").joinpath(f"vllm-{FLAGS_OF}-flags.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def check_owned(arguments: Sequence[str], variables: Mapping[str, str], *, where: str) -> None:
    """Refuse what the supervisor owns. `where` is the group's configuration key. Raises `ArgumentRefused`."""
    for name in sorted(flags_of(arguments) & OWNED_FLAGS.keys()):
        raise ArgumentRefused(
            f"{name} cannot be set in `args`",
            where=f"{where}.args",
            why=OWNED_FLAGS[name],
            remedy=f"remove {name} from `args`",
        )
    for name in sorted(variables.keys() & OWNED_VARIABLES.keys()):
        raise ArgumentRefused(
            f"{name} cannot be set in `env`",
            where=f"{where}.env.{name}",
            why=OWNED_VARIABLES[name],
            remedy=f"remove {name} from `env`",
        )


def check_known(arguments: Sequence[str], *, version: str, where: str) -> None:
    """Refuse a flag that this engine does not have, when `version` is one whose flags are listed.

    Abbreviations are refused too: they could stand for a flag that the supervisor owns.
    Raises `ArgumentRefused` with the nearest flag's name.
    """
    if not version.startswith(f"{FLAGS_OF}."):
        return
    for argument in arguments:
        name = flag_name(argument)
        if name is None or name in known_flags():
            continue
        near = difflib.get_close_matches(name, known_flags(), n=1)
        raise ArgumentRefused(
            f"unknown engine flag {name}" + (f" - did you mean {near[0]}?" if near else ""),
            where=f"{where}.args",
            why=f"vLLM {version} has no such flag",
            remedy=f"replace {name} by {near[0]}" if near else f"remove {name} from `args`",
        )
