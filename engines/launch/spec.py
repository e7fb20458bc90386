"""From a configured group and the facts of this start to one worker's command line and environment, as values.

Nothing here looks at the machine: `Facts` says what was found, and the same facts always give the same `WorkerSpec`.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.schema import EngineGroup
from engines.launch.address import LOOPBACK, Address
from engines.launch.arguments import check_owned, flags_of, value_of
from engines.launch.gpus import Gpu
from engines.launch.model import Model
from engines.roster import Published

KEEP_ALIVE_S = 75
"""Seconds the engine keeps an idle connection; its own 5 s is below the gateway's idle limit (engine keep-alive race)."""

QUEUE_HEADROOM = 16
"""Requests beyond `max_in_flight` that the engine takes before it answers 503.

vLLM counts what runs and what waits together, and a request with n answers as n. The headroom covers the readiness
probe, aborted requests not yet removed, and one call with n = 8; it is far too small for a queue to hide in.
"""

OVERCOMMIT = 1.1
"""What a worker holds of what it runs at once: the next is there when one ends."""

MOST_ANSWERS = 8
"""Largest `n` of a request that the engine takes; vLLM's own bound of 16,384 lets one request fill it."""

BUNDLED_FLAGS: tuple[tuple[str, ...], ...] = (
    ("--enable-auto-tool-choice",),
    ("--tool-call-parser", "hermes"),
    ("--reasoning-parser", "deepseek_v3"),
)
"""What the bundled model was trained to be served with, as its model card says."""

_EVENTS_FLAG = "--kv-events-config"
BUNDLED_KV_GIB = 1
CPU_KV_GIB = 4
"""GiB of KV cache on the CPU, where vLLM would otherwise take most of the machine's memory."""

_PASSED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_CACHE_HOME"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_HOME", "CC", "CXX", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),
)
_PASSED_PREFIXES = ("LC_", "NCCL_", "NVIDIA_", "OMP_", "KMP_", "MKL_", "TORCHINDUCTOR_", "TRITON_", "GLOO_")
_PASSED_FOR_DOWNLOAD = (
    *("HF_TOKEN", "HF_ENDPOINT", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_PARALLEL_FLAGS = frozenset(
    {"--tensor-parallel-size", "-tp", "--pipeline-parallel-size", "-pp", "--data-parallel-size", "-dp"}
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of this machine and this start of one worker."""

    python: Path
    model: Model
    address: Address
    api_key: str = field(repr=False)
    gpus: tuple[Gpu, ...] = ()
    """The GPUs of this worker; none means that it runs on the CPU."""
    shares_cpu: bool = False
    """Whether other CPU workers run on this machine."""
    parent_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    publishes: tuple[Path, Path] | None = None
    """Sockets for what its prefix cache holds, and for questions after that."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One start of one worker, ready to be spawned. Its key and environment stay out of its repr."""

    id: str
    group: str
    engine: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    address: Address
    api_key: str = field(repr=False)
    models: Mapping[str, str]
    """Public model name → the engine's own."""
    max_in_flight: int
    start_timeout_s: float
    downloads: bool = False
    """Whether the engine fetches the model from the Hugging Face Hub first."""
    published: Published | None = None
    """Where it will tell what its prefix cache holds."""

    @property
    def kind(self) -> str:
        """What decides how long a start takes: engine, model, device count."""
        return " ".join(
            (self.engine, self.argv[self.argv.index("--model") + 1], self.env["CUDA_VISIBLE_DEVICES"])
        )


def worker_id(group: EngineGroup, index: int) -> str:
    """The worker's name: NAME-0, NAME-1 and so on."""
    return f"{group.name}-{index}"


def where(group: EngineGroup) -> str:
    """The group as errors name it."""
    return f"engines[{group.name}]"


def served_names(group: EngineGroup) -> tuple[str, ...]:
    """The model names that the workers of `group` answer to."""
    return group.serve_as or (group.name,)


def models_of(group: EngineGroup) -> dict[str, str]:
    """Public model name → the one asked for upstream: always the first, which is what vLLM puts into every answer."""
    names = served_names(group)
    return dict.fromkeys(names, names[0])


def most_in_flight(group: EngineGroup) -> int:
    """How many calls a worker of `group` is given at once: hardly more than it runs, or it would queue them itself."""
    runs = value_of(group.args, "--max-num-seqs")
    if runs is None or not runs.isdigit():
        return group.max_in_flight
    return max(1, min(group.max_in_flight, math.floor(OVERCOMMIT * int(runs))))


def worker_spec(group: EngineGroup, index: int, facts: Facts) -> WorkerSpec:
    """The command line and environment of worker `index` of `group`.

    Raises `ArgumentRefused` when the group sets what the supervisor owns.
    """
    check_owned(group.args, group.env, where=where(group))
    names = served_names(group)
    return WorkerSpec(
        id=worker_id(group, index),
        group=group.name,
        engine=group.engine,
        argv=(*_program(group, facts), *_fixed(names, facts), *_defaults(group, facts), *group.args),
        env=_environment(group, facts),
        address=facts.address,
        api_key=facts.api_key,
        models=models_of(group),
        max_in_flight=most_in_flight(group),
        start_timeout_s=group.start_timeout,
        downloads=group.engine == "vllm" and facts.model.folder is None,
        published=_published(group, facts),
    )


def _program(group: EngineGroup, facts: Facts) -> tuple[str, ...]:
    if group.engine == "simulated":
        return (sys.executable, "-m", "engines.simulated")
    # vLLM's newer launchers.* module is the same function, but only the old name works in releases before 0.32 too.
    return (str(facts.python), "-m", "vllm.entrypoints.openai.api_server")


def _fixed(names: tuple[str, ...], facts: Facts) -> tuple[str, ...]:
    return ("--model", facts.model.reference, "--served-model-name", *names, *facts.address.flags)


def _defaults(group: EngineGroup, facts: Facts) -> tuple[str, ...]:
    """What we choose unless the operator chose otherwise: naming a flag twice makes vLLM complain."""
    chosen = flags_of(group.args)
    rows: list[tuple[str, ...]] = [
        ("--max-num-seqs", str(group.max_in_flight)),
        ("--max-num-queued-reqs", str(group.max_in_flight + QUEUE_HEADROOM)),
        # The supervisor drains before it stops a worker. With a timeout of 10 s, an idle vLLM 0.32 takes all of it to
        # end; with none, 1 s.
        ("--shutdown-timeout", "0"),
        ("--disable-uvicorn-access-log",),
        ("--disable-fastapi-docs",),
        ("--enable-prompt-tokens-details",),
        # A name that never resolves (RFC 2606): without it an image URL makes the engine fetch from anywhere.
        ("--allowed-media-domains", "media.invalid"),
    ]
    if facts.model.bundled:
        rows += BUNDLED_FLAGS
    published = _published(group, facts)
    if published is not None:
        rows.append((_EVENTS_FLAG, _events(published)))
    if not facts.gpus:
        rows.append(("--enforce-eager",))
    if len(facts.gpus) > 1 and not chosen & _PARALLEL_FLAGS:
        rows.append(("--tensor-parallel-size", str(len(facts.gpus))))
    return tuple(word for row in rows if row[0] not in chosen for word in row)


def _published(group: EngineGroup, facts: Facts) -> Published | None:
    """Nothing of an engine that the operator told to publish elsewhere, nor without the tokenizer's folder."""
    if facts.publishes is None or facts.model.folder is None or _EVENTS_FLAG in flags_of(group.args):
        return None
    events, replay = facts.publishes
    return Published(f"ipc://{events}", f"ipc://{replay}", str(facts.model.folder))


def _events(published: Published) -> str:
    """What vLLM is told of it. Its own default listens on all interfaces, and the events hold prompts."""
    return json.dumps(
        {
            "enable_kv_cache_events": True,
            "publisher": "zmq",
            "endpoint": published.events,
            "replay_endpoint": published.replay,
        }
    )


def _environment(group: EngineGroup, facts: Facts) -> dict[str, str]:
    owned = {
        "PYTHONUNBUFFERED": "1",
        "VLLM_API_KEY": facts.api_key,
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE_S),
        **_devices(facts),
    }
    return _inherited(facts) | _chosen(facts) | group.env | owned


def _inherited(facts: Facts) -> dict[str, str]:
    names = set(_PASSED) if facts.model.folder else {*_PASSED, *_PASSED_FOR_DOWNLOAD}
    passed = {
        name: value
        for name, value in facts.parent_env.items()
        if name in names or name.startswith(_PASSED_PREFIXES)
    }
    # The engine compiles kernels with tools of its own environment (ninja), found by PATH.
    passed["PATH"] = os.pathsep.join((str(facts.python.parent), passed.get("PATH", os.defpath)))
    return passed


def _chosen(facts: Facts) -> dict[str, str]:
    """What we choose unless the operator chose otherwise."""
    chosen = {
        "DO_NOT_TRACK": "1",
        # The supervisor's folder holds modules named like the engine's dependencies in a source checkout.
        "PYTHONSAFEPATH": "1",
        # vLLM's own processes talk to each other; its guess is the address of the outer interface.
        "VLLM_HOST_IP": LOOPBACK,
        "VLLM_MAX_N_SEQUENCES": str(MOST_ANSWERS),
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }
    if facts.model.folder:
        chosen["HF_HUB_OFFLINE"] = "1"
    if not facts.gpus:
        chosen["VLLM_CPU_KVCACHE_SPACE"] = str(cpu_kv_gib(facts.model))
        if facts.shares_cpu:
            # Bound to cores, each of several engines would take the same first cores.
            chosen["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
    return chosen


def _devices(facts: Facts) -> dict[str, str]:
    if not facts.gpus:
        return {"CUDA_VISIBLE_DEVICES": ""}
    return {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(str(gpu.index) for gpu in facts.gpus),
    }


def cpu_kv_gib(model: Model) -> int:
    """GiB of KV cache that a CPU worker of `model` is given."""
    return BUNDLED_KV_GIB if model.bundled else CPU_KV_GIB
