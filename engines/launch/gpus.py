"""The machine's NVIDIA GPUs, read through NVML, and which worker gets which.

No driver, an old driver and a GPU that fell off the bus are ordinary states of a machine, not failures of ours: the
first means no GPUs, the second a GPU of which less is known, the third a GPU that gets no worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from engines.launch.errors import NotEnoughGpus

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU as it was when it was looked at. Memory is in bytes."""

    index: int
    """Its place in PCI bus order, which is NVML's."""
    name: str = "unknown"
    uuid: str = ""
    memory_total_bytes: int = 0
    memory_free_bytes: int = 0
    """0 with `memory_total_bytes` 0 when the driver does not tell."""
    trouble: str | None = None
    """Why it cannot be used, in NVML's words; `None` when it can."""


def detect(nvml: Any) -> tuple[Gpu, ...]:
    """All GPUs of this machine in PCI bus order; empty when there is no driver. `nvml` is the `pynvml` module."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return ()
    try:
        return tuple(_look(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    except nvml.NVMLError:
        return ()
    finally:
        nvml.nvmlShutdown()


def _look(nvml: Any, index: int) -> Gpu:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = _known(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle), None)
        return Gpu(
            index=index,
            name=_text(_known(nvml, lambda: nvml.nvmlDeviceGetName(handle), "unknown")),
            uuid=_text(_known(nvml, lambda: nvml.nvmlDeviceGetUUID(handle), "")),
            memory_total_bytes=int(memory.total) if memory else 0,
            memory_free_bytes=int(memory.free) if memory else 0,
        )
    except nvml.NVMLError as error:
        return Gpu(index=index, trouble=str(error))


def _known(nvml: Any, ask: Callable[[], _T], unknown: _T) -> _T:
    """Ask, and take "this driver has no such function" for "unknown": old drivers lack symbols."""
    try:
        return ask()
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
        return unknown


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@dataclass(frozen=True, slots=True)
class Demand:
    """One worker's wish: `count` GPUs for `worker`; `where` is the configuration key that says so."""

    worker: str
    count: int
    where: str


def assign(gpus: Iterable[Gpu], demands: Sequence[Demand]) -> dict[str, tuple[Gpu, ...]]:
    """Give each worker GPUs of its own, neighbours in bus order first.

    Raises `NotEnoughGpus` naming the first demand that cannot be met.
    """
    known = tuple(gpus)
    free = [gpu for gpu in known if gpu.trouble is None]
    given: dict[str, tuple[Gpu, ...]] = {}
    for demand in demands:
        if demand.count > len(free):
            raise _shortage(demand, known, len(free))
        given[demand.worker], free = tuple(free[: demand.count]), free[demand.count :]
    return given


def _shortage(demand: Demand, known: Sequence[Gpu], left: int) -> NotEnoughGpus:
    lost = [f"GPU {gpu.index}: {gpu.trouble}" for gpu in known if gpu.trouble]
    return NotEnoughGpus(
        f"{demand.worker} needs {demand.count} GPUs and {left} are left",
        where=demand.where,
        why=f"this machine has {len(known)} NVIDIA GPUs" + (f", unusable: {'; '.join(lost)}" if lost else ""),
        remedy="lower `replicas` or `gpus_per_replica` (0 runs on the CPU), or run `nvidia-smi` to see the GPUs",
    )
