"""What can be known before a start that takes half a minute and would end in a traceback."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import psutil

from engines.launch.address import UnixSocket
from engines.launch.errors import EnvironmentUnusable, NotEnoughSpace, SocketUnusable
from engines.launch.gpus import Gpu
from engines.launch.interpreter import EngineBuild
from engines.launch.model import Model
from engines.launch.spec import cpu_kv_gib

LONGEST_SOCKET_PATH_BYTES = 107
"""`sun_path` of Linux holds 108 bytes with the final NUL."""

GIB = 1 << 30
CPU_OVERHEAD_BYTES = 2 * GIB
"""Memory of the three processes of a CPU worker beside weights and KV cache: 1.8 GB measured on vLLM 0.32."""

LEAST_FREE_DISK_BYTES = 256 << 20
"""Room for logs, compiled kernels and the files of a start."""


def private_folder(folder: Path, *, where: str) -> None:
    """Make `folder` with mode 0700, or make it so.

    Raises `SocketUnusable` when it cannot be made, or belongs to another user: sockets in it would be open to others.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise SocketUnusable(
                f"{folder} belongs to another user",
                where=where,
                why=f"its owner is user {status.st_uid}, this process runs as {os.geteuid()}",
                remedy="set `data_dir` to a folder of your own",
            )
        if stat.S_IMODE(status.st_mode) != stat.S_IRWXU:
            folder.chmod(stat.S_IRWXU)
    except OSError as error:
        raise SocketUnusable(
            f"the folder {folder} cannot be used",
            where=where,
            why=str(error),
            remedy="set `data_dir` to a folder that this user may write",
        ) from error


def socket_path(address: UnixSocket, *, where: str) -> None:
    """Raise `SocketUnusable` when the path is longer than a socket's name may be."""
    length = len(os.fsencode(address.path))
    if length > LONGEST_SOCKET_PATH_BYTES:
        raise SocketUnusable(
            f"the socket path {address.path} is too long",
            where=where,
            why=f"it has {length} bytes and Linux takes {LONGEST_SOCKET_PATH_BYTES}",
            remedy="set `data_dir` to a shorter path, or `transport: tcp`",
        )


def hardware(build: EngineBuild, gpus: Sequence[Gpu], *, where: str) -> None:
    """Raise `EnvironmentUnusable` when the engine was built for other hardware than it is given."""
    if build.is_cpu is None or build.is_cpu == (not gpus):
        return
    built, given = ("the CPU", f"{len(gpus)} GPUs") if build.is_cpu else ("NVIDIA GPUs", "none")
    raise EnvironmentUnusable(
        f"the engine's environment holds a build for {built}",
        where=where,
        why=f"vLLM {build.version} is installed there and the worker is given {given}",
        remedy="run `cascadia engines install` for this machine, or set `gpus_per_replica`",
    )


def memory(model: Model, gpus: Sequence[Gpu], *, where: str) -> None:
    """Raise `NotEnoughSpace` when the weights cannot fit into what is free now, in memory or on the GPUs.

    Weights that are not on this machine yet have no known size and pass.
    """
    weights = model.weights_bytes()
    for gpu in gpus:
        share = weights // len(gpus)
        if gpu.memory_total_bytes and share > gpu.memory_free_bytes:
            raise _too_small(f"GPU {gpu.index}", share, gpu.memory_free_bytes, where)
    if not gpus:
        needed = weights + cpu_kv_gib(model) * GIB + CPU_OVERHEAD_BYTES
        if needed > (available := psutil.virtual_memory().available):
            raise _too_small("memory", needed, available, where)


def _too_small(place: str, needed: int, free: int, where: str) -> NotEnoughSpace:
    return NotEnoughSpace(
        f"the model does not fit into {place}",
        where=where,
        why=f"it needs {needed / GIB:.1f} GiB and {free / GIB:.1f} GiB are free",
        remedy="end what else uses it, take a smaller or quantized model, or lower `replicas`",
    )


def disk(folder: Path, *, where: str) -> None:
    """Raise `NotEnoughSpace` when the disk of `folder` is all but full."""
    if (free := shutil.disk_usage(folder).free) < LEAST_FREE_DISK_BYTES:
        raise NotEnoughSpace(
            f"the disk of {folder} is full",
            where=where,
            why=f"{free >> 20} MiB are free and {LEAST_FREE_DISK_BYTES >> 20} MiB are needed for logs and state",
            remedy="free some space, or set `data_dir` to another disk",
        )
