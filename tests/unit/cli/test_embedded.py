"""The Valkey that `cascadia up` runs itself: when, with what, and that it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import redis

from config.paths import Paths
from config.schema import Config
from gateway.cli import embedded
from gateway.cli.failure import Failure


@pytest.mark.parametrize(
    ("store", "has_redis", "wanted"),
    [
        ("auto", False, False),
        ("auto", True, False),
        ("memory", False, False),
        ("valkey", True, False),
        ("valkey", False, True),
    ],
)
def test_it_is_run_only_when_asked_for_without_a_server(store, has_redis, wanted):
    redis_section = {"url": "redis://127.0.0.1"} if has_redis else None
    config = Config.model_validate({"limits": {"store": store}, "redis": redis_section})
    assert embedded.is_wanted(config) is wanted


def test_a_path_too_long_for_a_socket_is_refused_by_name(tmp_path):
    with pytest.raises(Failure, match="longer than 107 bytes"):
        embedded.role(Paths(tmp_path / ("x" * 100)), os.getpid())


def test_it_listens_on_its_socket_alone_and_ends_with_its_parent(tmp_path):
    paths = Paths(tmp_path / "d")
    paths.run.mkdir(parents=True)
    parent = f"""
import os, subprocess, sys, time
from pathlib import Path
from config.paths import Paths
from gateway.cli import embedded
role = embedded.role(Paths(Path({str(paths.data)!r})), os.getpid())
child = subprocess.Popen(role.argv)
print(child.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        _until(lambda: _answers(paths))
        server = psutil.Process(pid)
        assert "valkey-server" in server.exe()
        assert not server.net_connections("inet")
        assert paths.valkey_socket.stat().st_mode & 0o077 == 0
        running.send_signal(signal.SIGKILL)
    _until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)


def _answers(paths):
    try:
        with redis.Redis(unix_socket_path=str(paths.valkey_socket)) as client:
            return client.ping()
    except redis.ConnectionError:
        return False


def _until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
