"""nginx as the benchmark configures and finds it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import httpx
import pytest

from benchmarks import nginx
from benchmarks.placement import Placement
from benchmarks.requests import MODEL
from benchmarks.systems import SYSTEMS, running, running_engines

ANYWHERE = Placement(None, None, None)
ENGINES = [("127.0.0.1", 8001), ("127.0.0.1", 8002)]


def directives(*, is_root: bool = False) -> list[str]:
    text = nginx.configuration(port=8080, engines=ENGINES, key="sk-1", is_root=is_root)
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        "worker_processes 1;",
        "listen 127.0.0.1:8080;",
        "access_log off;",
        "client_max_body_size 8m;",
        "least_conn;",
        "server 127.0.0.1:8001;",
        "server 127.0.0.1:8002;",
        "proxy_http_version 1.1;",
        'proxy_set_header Connection "";',
        "proxy_buffering off;",
        'if ($http_authorization != "Bearer sk-1") {',
        "return 401;",
    ],
)
def test_it_does_what_a_proxy_in_front_of_an_engine_must(line):
    assert line in directives()


def test_connections_are_kept_on_both_sides_however_many_requests_they_carry():
    lines = directives()
    assert any(re.fullmatch(r"keepalive \d{3,};", line) for line in lines)
    assert lines.count("keepalive_requests 1000000000;") == 2


def test_the_choice_of_an_engine_is_named_before_the_pool_of_its_connections():
    lines = directives()
    assert lines.index("least_conn;") < next(
        index for index, line in enumerate(lines) if line.startswith("keepalive ")
    )


def test_all_its_files_are_below_its_own_prefix():
    paths = [line for line in directives() if re.match(r"\w+_temp_path |pid ", line)]
    assert len(paths) == 6
    assert not [line for line in paths if "/" in line]


def test_only_root_names_the_user_of_the_worker():
    assert "user root;" in directives(is_root=True)
    assert not [line for line in directives() if line.startswith("user ")]


def fake_nginx(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "nginx"
    path.write_text("#!/bin/sh\necho nginx version: nginx/9.9.9 >&2\n")
    path.chmod(0o755)
    return path


def test_it_is_found_where_a_persons_path_does_not_look(tmp_path, monkeypatch):
    installed = fake_nginx(tmp_path / "sbin")
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(nginx, "_SYSTEM_FOLDERS", (str(tmp_path / "sbin"),))
    assert nginx.program() == str(installed)
    assert nginx.missing() is None
    assert nginx.version() == "9.9.9"


def test_without_it_one_line_names_the_package(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nginx, "_SYSTEM_FOLDERS", ())
    assert nginx.version() is None
    told = nginx.missing()
    assert told is not None
    assert "nginx-light" in told
    assert "\n" not in told


@pytest.mark.skipif(
    nginx.program() is None, reason="nginx is not installed; its configuration is tested as text"
)
def test_the_real_one_answers_with_the_key_and_not_without():
    with (
        running_engines(2, ANYWHERE) as engines,
        running(SYSTEMS["nginx"], engines, ANYWHERE) as system,
    ):
        ((host, port),) = system.addresses
        ask = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
        url = f"http://{host}:{port}/v1/chat/completions"
        answer = httpx.post(url, json=ask, headers={"authorization": f"Bearer {system.key}"})
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert httpx.post(url, json=ask, headers={"authorization": "Bearer other"}).status_code == 401
        assert system.process is not None
        assert len(system.process.pids()) == 2  # a master and its one worker
        pids = system.process.pids()
    assert subprocess.run(["ps", "-p", ",".join(map(str, pids))], capture_output=True, check=False).returncode
