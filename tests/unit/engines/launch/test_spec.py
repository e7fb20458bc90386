"""From group and facts to a command line and an environment: a table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from config.schema import EngineGroup
from engines.launch.address import TcpPort, UnixSocket
from engines.launch.errors import ArgumentRefused
from engines.launch.gpus import Gpu
from engines.launch.model import Model
from engines.launch.spec import Facts, WorkerSpec, worker_spec
from engines.roster import Published

SOCKET = Path("/run/c/tiny-0.sock")
LOCAL = Model("/models/m", Path("/models/m"))


def group(**changes: Any) -> EngineGroup:
    return EngineGroup.model_validate({"name": "tiny", "max_in_flight": 32} | changes)


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "python": Path("/venv/bin/python"),
        "model": LOCAL,
        "address": UnixSocket(SOCKET),
        "api_key": "secret",
    }
    return Facts(**(known | changes))


def spec(changes: dict[str, Any] | None = None, **found: Any) -> WorkerSpec:
    return worker_spec(group(**(changes or {})), 0, facts(**found))


def test_the_whole_command_line_of_a_cpu_worker():
    assert spec().argv == (
        *("/venv/bin/python", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", "/models/m", "--served-model-name", "tiny", "--uds", "/run/c/tiny-0.sock"),
        *("--max-num-seqs", "32", "--max-num-queued-reqs", "48", "--shutdown-timeout", "0"),
        *("--disable-uvicorn-access-log", "--disable-fastapi-docs", "--enable-prompt-tokens-details"),
        *("--allowed-media-domains", "media.invalid", "--enforce-eager"),
    )


def test_the_whole_environment_of_a_cpu_worker():
    assert spec(parent_env={"HOME": "/home/u", "PATH": "/bin"}).env == {
        "CUDA_VISIBLE_DEVICES": "",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "HOME": "/home/u",
        "PATH": "/venv/bin:/bin",
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "VLLM_API_KEY": "secret",
        "VLLM_CPU_KVCACHE_SPACE": "4",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "75",
        "VLLM_MAX_N_SEQUENCES": "8",
        "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
        "VLLM_NO_USAGE_STATS": "1",
    }


GPUS = (Gpu(2), Gpu(3))


@pytest.mark.parametrize(
    ("changes", "found", "present", "absent"),
    [
        ({"serve_as": ["a", "b"]}, {}, ["--served-model-name a b --uds"], []),
        ({}, {"address": TcpPort(7001)}, ["--host 127.0.0.1 --port 7001"], ["--uds"]),
        ({}, {"gpus": GPUS[:1]}, [], ["--enforce-eager", "--tensor-parallel-size"]),
        ({}, {"gpus": GPUS}, ["--tensor-parallel-size 2"], []),
        ({"args": ["-pp", "2"]}, {"gpus": GPUS}, ["-pp 2"], ["--tensor-parallel-size"]),
        ({"args": ["--max_num_seqs=4"]}, {}, ["--max_num_seqs=4"], ["--max-num-seqs"]),
        ({"args": ["--no-enforce-eager"]}, {}, ["--no-enforce-eager"], [" --enforce-eager"]),
        (
            {},
            {"model": Model("/b", Path("/b"), bundled=True)},
            ["--enable-auto-tool-choice --tool-call-parser hermes --reasoning-parser deepseek_v3"],
            [],
        ),
    ],
)
def test_flags(changes: dict[str, Any], found: dict[str, Any], present: list[str], absent: list[str]):
    line = " ".join(spec(changes, **found).argv)
    assert [words for words in present if words not in line] == []
    assert [words for words in absent if words in line] == []


@pytest.mark.parametrize(
    ("changes", "found", "expected"),
    [
        (
            {},
            {"gpus": GPUS},
            {
                "CUDA_VISIBLE_DEVICES": "2,3",
                "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
                "VLLM_CPU_KVCACHE_SPACE": None,
            },
        ),
        ({"env": {"VLLM_NO_USAGE_STATS": "0"}}, {}, {"VLLM_NO_USAGE_STATS": "0"}),
        ({"env": {"HF_HUB_OFFLINE": "0"}}, {}, {"HF_HUB_OFFLINE": "0"}),
        ({}, {"shares_cpu": True}, {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}),
        ({}, {"parent_env": {"HF_TOKEN": "t"}}, {"HF_TOKEN": None}),
        (
            {},
            {"model": Model("o/m", None), "parent_env": {"HF_TOKEN": "t"}},
            {"HF_TOKEN": "t", "HF_HUB_OFFLINE": None},
        ),
        (
            {},
            {
                "parent_env": {
                    "VLLM_SERVER_DEV_MODE": "1",
                    "PYTHONOPTIMIZE": "2",
                    "AWS_SECRET": "x",
                    "PYTHONPATH": "/p",
                }
            },
            {"VLLM_SERVER_DEV_MODE": None, "PYTHONOPTIMIZE": None, "AWS_SECRET": None, "PYTHONPATH": None},
        ),
    ],
)
def test_environment(changes: dict[str, Any], found: dict[str, Any], expected: dict[str, str | None]):
    env = spec(changes, **found).env
    assert {name: env.get(name) for name in expected} == expected


def test_the_key_is_in_the_environment_and_nowhere_else():
    made = spec()
    assert made.env["VLLM_API_KEY"] == "secret"
    assert "secret" not in " ".join(made.argv)
    assert "secret" not in repr(made)
    assert "secret" not in repr(facts())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"args": ["--api-key", "k"]}, "--api-key"),
        ({"args": ["--api_key=k"]}, "--api-key"),
        ({"args": ["--uds=/tmp/s"]}, "--uds"),
        ({"args": ["--host", "0.0.0.0"]}, "--host"),
        ({"args": ["--port", "1"]}, "--port"),
        ({"args": ["--served-model-name", "x"]}, "--served-model-name"),
        ({"args": ["--config", "x.yaml"]}, "--config"),
        ({"env": {"VLLM_API_KEY": "k"}}, "VLLM_API_KEY"),
        ({"env": {"VLLM_SERVER_DEV_MODE": "1"}}, "VLLM_SERVER_DEV_MODE"),
        ({"env": {"PYTHONOPTIMIZE": "1"}}, "PYTHONOPTIMIZE"),
        ({"env": {"CUDA_VISIBLE_DEVICES": "0"}}, "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_what_the_supervisor_owns_is_refused_by_name(changes: dict[str, Any], named: str):
    with pytest.raises(ArgumentRefused) as refusal:
        spec(changes)
    assert named in refusal.value.what
    assert refusal.value.where.startswith("engines[tiny].")
    assert refusal.value.why
    assert refusal.value.remedy


def test_the_simulated_engine_is_our_own_python_with_the_same_flags():
    made = spec({"engine": "simulated"})
    assert made.argv[:3] == (sys.executable, "-m", "engines.simulated")
    assert made.argv[3:] == spec().argv[3:]
    assert not made.downloads


def test_a_model_that_is_not_here_is_announced_as_a_download():
    assert spec(model=Model("o/m", None)).downloads
    assert not spec().downloads


def test_every_public_name_is_asked_for_by_the_first_which_vllm_puts_into_its_answers():
    made = spec({"serve_as": ["large", "default"]})
    assert made.models == {"large": "large", "default": "large"}
    named = made.argv.index("--served-model-name")
    assert made.argv[named + 1 : named + 3] == ("large", "default")


@pytest.mark.parametrize(
    ("args", "most"),
    [
        ((), 32),
        (("--max-num-seqs", "10"), 11),
        (("--max_num_seqs=20",), 22),
        (("--max-num-seqs", "1"), 1),
        (("--max-num-seqs", "8", "--max-num-seqs=16"), 17),
        (("--max-num-seqs", "500"), 32),
        (("--max-num-seqs",), 32),
    ],
)
def test_a_worker_is_given_hardly_more_than_it_runs(args, most):
    assert spec({"args": list(args)}).max_in_flight == most


SOCKETS = (Path("/run/c/tiny-0.kve"), Path("/run/c/tiny-0.kvr"))


def test_a_worker_that_is_to_publish_does_so_on_private_sockets_and_says_where():
    made = spec(publishes=SOCKETS)
    told = json.loads(made.argv[made.argv.index("--kv-events-config") + 1])
    assert (told["endpoint"], told["replay_endpoint"]) == (f"ipc://{SOCKETS[0]}", f"ipc://{SOCKETS[1]}")
    assert told["enable_kv_cache_events"] is True
    assert made.published == Published(told["endpoint"], told["replay_endpoint"], "/models/m")


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, {}),
        ({}, {"publishes": SOCKETS, "model": Model("a/b", None)}),
        ({"args": ["--kv-events-config={}"]}, {"publishes": SOCKETS}),
    ],
    ids=["not asked", "without a folder", "the operator's own"],
)
def test_nobody_is_told_of_what_is_not_published_so(changes, found):
    made = spec(changes, **found)
    assert made.published is None
    assert "--kv-events-config" not in made.argv
