"""What the engines need: GPUs, their environment, weights."""

from __future__ import annotations

import os
from collections.abc import Iterator

from config.schema import BUNDLED_MODEL, EngineGroup
from gateway.cli.checks.finding import Finding, Level
from gateway.cli.setting import Setting


def gpus(setting: Setting) -> Iterator[Finding]:
    """Each one, and whether there are as many as configured."""
    import pynvml

    from engines.launch.gpus import detect

    found = detect(pynvml)
    for gpu in found:
        if gpu.trouble:
            yield Finding(f"GPU {gpu.index}", Level.WARN, gpu.trouble, "nvidia-smi")
        else:
            free, total = gpu.memory_free_bytes / (1 << 30), gpu.memory_total_bytes / (1 << 30)
            yield Finding(f"GPU {gpu.index}", Level.OK, f"{gpu.name}, {free:.0f} of {total:.0f} GiB free")
    needed = sum((group.gpus_per_replica or 0) * group.replicas for group in setting.config.engines)
    usable = sum(gpu.trouble is None for gpu in found)
    if needed > usable:
        yield Finding("GPUs", Level.FAIL, f"{needed} are configured and {usable} are usable", "nvidia-smi")
    elif not found:
        yield Finding("GPUs", Level.OK, "none: engines run on the CPU")


def engine(setting: Setting) -> Iterator[Finding]:
    """The software that workers run."""
    from engines.environment import describe

    own = [group for group in _groups(setting) if group.engine == "vllm" and group.python is None]
    for group in _groups(setting):
        if group.python is not None and not os.access(group.python, os.X_OK):
            yield Finding(
                "engine",
                Level.FAIL,
                f"{group.name}: {group.python} cannot be run",
                "cascadia engines install",
            )
    if not own:
        return
    environment = describe(setting.paths.engine_environment)
    if environment is None:
        folder = setting.paths.engine_environment
        yield Finding("engine", Level.FAIL, f"not installed in {folder}", "cascadia engines install")
    else:
        found = f"{environment.engine} {environment.version} for {environment.device.value}"
        yield Finding("engine", Level.OK, found)


def models(setting: Setting) -> Iterator[Finding]:
    """The weights of each group."""
    from engines.launch.errors import ModelUnusable
    from engines.launch.model import resolve

    for group in _groups(setting):
        if group.engine == "simulated":
            continue
        name = f"model of {group.name}"
        try:
            model = resolve(
                group.model, where=f"engines.{group.name}.model", environ={**os.environ, **group.env}
            )
        except ModelUnusable as error:
            yield Finding(name, Level.FAIL, f"{error.what}: {error.why}", "cascadia check")
            continue
        shipped = "the bundled model" if group.model == BUNDLED_MODEL else str(model.folder)
        if model.folder is None:
            yield Finding(
                name, Level.WARN, f"{model.reference} will be downloaded by the engine", "cascadia check"
            )
        else:
            yield Finding(
                name, Level.OK, f"{shipped}, {model.weights_bytes() / (1 << 20):.1f} MiB of weights"
            )


def _groups(setting: Setting) -> tuple[EngineGroup, ...]:
    """The groups that a start would run; the bundled model where nothing is configured."""
    config = setting.config
    return config.engines or (() if config.upstreams else (EngineGroup(name="tiny"),))
