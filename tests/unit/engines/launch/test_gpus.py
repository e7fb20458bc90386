"""GPUs through the real nvidia-ml-py over a fake NVML library, and their assignment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.launch.errors import NotEnoughGpus
from engines.launch.gpus import Demand, Gpu, assign

# What NVML does for the calls that are made, for as many GPUs as FAKE_GPUS says; GPU number FAKE_LOST fell off the bus.
LIBRARY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <stdint.h>
enum { OK = 0, INVALID = 2, LOST = 15, DRIVER_NOT_LOADED = 9 };
typedef struct { unsigned long long total, free, used; } memory_t;
static int number(const char *name, int otherwise) { const char *v = getenv(name); return v ? atoi(v) : otherwise; }
static int state(uintptr_t device) { return (int)device - 1 == number("FAKE_LOST", -1) ? LOST : OK; }
int nvmlInitWithFlags(unsigned flags) { return number("FAKE_NO_DRIVER", 0) ? DRIVER_NOT_LOADED : OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : "some error"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (unsigned)number("FAKE_GPUS", 2); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, uintptr_t *device) {
    if ((int)index >= number("FAKE_GPUS", 2)) return INVALID;
    *device = index + 1;
    return OK;
}
int nvmlDeviceGetName(uintptr_t device, char *text, unsigned size) {
    snprintf(text, size, "Fake GPU");
    return state(device);
}
#ifndef WITHOUT_UUID
int nvmlDeviceGetUUID(uintptr_t device, char *text, unsigned size) {
    snprintf(text, size, "GPU-%d", (int)device - 1);
    return state(device);
}
#endif
int nvmlDeviceGetMemoryInfo(uintptr_t device, memory_t *memory) {
    memory->total = 80ULL << 30;
    memory->used = 8ULL << 30;
    memory->free = 72ULL << 30;
    return state(device);
}
"""

DETECT = """
import json, dataclasses, pynvml
from engines.launch.gpus import detect
print(json.dumps([dataclasses.asdict(gpu) for gpu in detect(pynvml)]))
"""


def build(folder: Path, *flags: str) -> Path:
    folder.mkdir()
    source = folder / "nvml.c"
    source.write_text(LIBRARY)
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", *flags, "-o", library, source], check=True)
    return folder


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("nvml") / "whole")


def detect(folder: Path, **env: str) -> list[Gpu]:
    told = subprocess.run(
        [sys.executable, "-c", DETECT],
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), **env},
        check=True,
        capture_output=True,
        text=True,
    )
    return [Gpu(**gpu) for gpu in json.loads(told.stdout)]


WHOLE = {"name": "Fake GPU", "memory_total_bytes": 80 << 30, "memory_free_bytes": 72 << 30}


def test_two_gpus(library: Path):
    assert detect(library) == [Gpu(0, uuid="GPU-0", **WHOLE), Gpu(1, uuid="GPU-1", **WHOLE)]  # type: ignore[arg-type]


def test_a_lost_gpu_is_listed_with_its_trouble(library: Path):
    whole, lost = detect(library, FAKE_LOST="1")
    assert whole.trouble is None
    assert lost == Gpu(1, trouble="GPU is lost")


def test_a_driver_without_a_function_still_tells_the_rest(tmp_path: Path):
    gpus = detect(build(tmp_path / "old", "-DWITHOUT_UUID"), FAKE_GPUS="1")
    assert gpus == [Gpu(0, uuid="", **WHOLE)]  # type: ignore[arg-type]


def test_no_driver_no_gpus(library: Path, tmp_path: Path):
    assert detect(library, FAKE_NO_DRIVER="1") == []
    assert detect(library, FAKE_GPUS="0") == []


class NoLibrary:
    """What pynvml is on a machine without NVIDIA's library."""

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        raise self.NVMLError("NVML Shared Library Not Found")


def test_no_library_no_gpus():
    from engines.launch import gpus

    assert gpus.detect(NoLibrary()) == ()


def demand(worker: str, count: int) -> Demand:
    return Demand(worker, count, "engines[t].gpus_per_replica")


def test_each_worker_gets_gpus_of_its_own_in_bus_order():
    given = assign([Gpu(index) for index in range(4)], [demand("a-0", 2), demand("b-0", 0), demand("c-0", 1)])
    assert {worker: [gpu.index for gpu in gpus] for worker, gpus in given.items()} == {
        "a-0": [0, 1],
        "b-0": [],
        "c-0": [2],
    }


def test_a_lost_gpu_is_given_to_nobody():
    given = assign([Gpu(0, trouble="GPU is lost"), Gpu(1)], [demand("a-0", 1)])
    assert given["a-0"] == (Gpu(1),)


def test_a_shortage_names_the_worker_the_key_and_the_lost_gpu():
    with pytest.raises(NotEnoughGpus) as refusal:
        assign([Gpu(0), Gpu(1, trouble="GPU is lost")], [demand("a-0", 1), demand("a-1", 1)])
    assert refusal.value.what == "a-1 needs 1 GPUs and 0 are left"
    assert refusal.value.where == "engines[t].gpus_per_replica"
    assert "GPU 1: GPU is lost" in refusal.value.why
