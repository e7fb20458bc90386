"""`cascadia` as its users run it: real processes, real sockets, the simulated engine."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


def eventually(condition, what):
    """The first true value of `condition`; fails after a minute."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"never happened: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cascadia:
    """Command lines of one test, on one data folder."""

    def __init__(self, folder):
        self.folder = folder
        self.data = folder / "data"
        self.started = []
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CASCADIA_")}
        self.environ = {**clean, "XDG_DATA_HOME": str(folder / "share"), "CASCADIA_DATA_DIR": str(self.data)}

    def argv(self, arguments):
        return [sys.executable, "-m", "gateway", *map(str, arguments)]

    def call(self, *arguments, **environ):
        return subprocess.run(
            self.argv(arguments),
            env={**self.environ, "PYTHONPATH": str(ROOT), **environ},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, *arguments, **environ):
        out, err = (self.folder / f"{len(self.started)}.{name}" for name in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = psutil.Popen(
                self.argv(arguments),
                env={**self.environ, "PYTHONPATH": str(ROOT), **environ},
                cwd=self.folder,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        process.out, process.err = out, err
        self.started.append(process)
        return process

    def stop(self):
        for process in self.started:
            family = []
            if process.is_running():
                family = [*process.children(recursive=True), process]
            for each in family:
                try:
                    each.kill()
                except psutil.NoSuchProcess:
                    continue
            process.wait(timeout=10)

    def file(self, text):
        path = self.folder / "cascadia.yaml"
        path.write_text(text)
        return path


@pytest.fixture
def cascadia(tmp_path):
    commands = Cascadia(tmp_path)
    yield commands
    commands.stop()


@pytest.fixture
def simulated(cascadia):
    """A configuration with one simulated engine and ports of its own."""
    port, admin = free_port(), free_port()
    text = f"server: {{listen: '127.0.0.1:{port}', admin_listen: '127.0.0.1:{admin}', drain_seconds: 20}}\n"
    cascadia.file(text + "engines: [{name: tiny, engine: simulated}]\n")
    return port


def last_line(text):
    return text.rstrip("\n").splitlines()[-1].strip()


def curl_line(process):
    """The line to paste, once the screen shows it."""
    lines = process.out.read_text().splitlines()
    return next((line for line in lines if line.startswith("curl ")), None)


def test_the_whole_product_starts_with_one_command_answers_and_leaves_nobody(cascadia, simulated):
    up = cascadia.start("up")
    line = eventually(lambda: curl_line(up), "the screen")
    key = re.search(r"gw_local_\w+", line)[0]
    eventually(lambda: "tiny  ready after" in up.err.read_text(), "ready")
    pasted = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert json.loads(pasted.stdout)["choices"][0]["finish_reason"] == "stop"

    family = up.children(recursive=True)
    assert len(family) >= 3  # gateway, engine supervisor, worker
    assert key not in (cascadia.data / "keys.json").read_text()
    assert all(key not in " ".join(each.cmdline()) for each in family)

    up.send_signal(signal.SIGINT)
    assert up.wait(timeout=PATIENCE) == 0
    assert psutil.wait_procs(family, timeout=5)[1] == []
    said = up.err.read_text()
    assert said.index("gateway  draining") < said.index("engines  draining")
    assert not (cascadia.data / "run" / "config.json").exists()
    assert key not in said


def test_a_second_start_shows_no_key_and_takes_the_saved_one(cascadia, simulated):
    created = cascadia.call("keys", "create", "mine").stdout.strip()
    up = cascadia.start("up")
    line = eventually(lambda: curl_line(up), "the screen")
    assert "gw_local" not in up.out.read_text()
    eventually(lambda: "tiny  ready after" in up.err.read_text(), "ready")
    pasted = subprocess.run(
        ["sh", "-c", line],
        env={**os.environ, "CASCADIA_API_KEY": created},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert json.loads(pasted.stdout)["choices"]
    listed = cascadia.call("models", "--json", CASCADIA_API_KEY=created)
    assert [model["id"] for model in json.loads(listed.stdout)["models"]] == ["tiny"]
    status = json.loads(cascadia.call("status", "--json").stdout)
    assert status["gateway"]["state"] == "ready"
    assert status["engines"]["workers"][0]["status"] == "ready"


def test_a_second_instance_is_refused_and_told_the_first(cascadia, simulated):
    up = cascadia.start("up")
    eventually(lambda: curl_line(up), "the screen")
    gateway = json.loads((cascadia.data / "run" / "gateway.json").read_text())["pid"]

    same_folder = cascadia.call("up", "--listen", f"127.0.0.1:{free_port()}")
    assert same_folder.returncode == 1
    assert f"process {up.pid}" in same_folder.stderr
    assert str(cascadia.data) in same_folder.stderr

    gateway_on_it = cascadia.call("gateway", "--listen", f"127.0.0.1:{free_port()}")
    assert gateway_on_it.returncode == 1
    assert f"process {gateway}" in gateway_on_it.stderr

    engines_on_it = cascadia.call("engines")
    assert engines_on_it.returncode == 1
    assert last_line(engines_on_it.stderr).startswith("next: ")

    for verb in ("up", "gateway"):
        same_port = cascadia.call(verb, "--data-dir", cascadia.folder / f"other-{verb}")
        assert same_port.returncode == 1
        assert f"127.0.0.1:{simulated} is taken by process {gateway}" in same_port.stderr


def test_a_gateway_that_was_killed_is_started_again_and_the_engines_live_on(cascadia, simulated):
    up = cascadia.start("up")
    line = eventually(lambda: curl_line(up), "the screen")
    eventually(lambda: "tiny  ready after" in up.err.read_text(), "ready")
    record = cascadia.data / "run" / "gateway.json"
    first = json.loads(record.read_text())["pid"]
    worker = json.loads(cascadia.call("status", "--json").stdout)["engines"]["workers"][0]["pid"]
    os.kill(first, signal.SIGKILL)

    def restarted():
        try:
            found = json.loads(record.read_text())
        except FileNotFoundError:
            return False
        return found["pid"] != first and found["url"]

    eventually(restarted, "a new gateway")
    answered = eventually(
        lambda: (
            '"choices"'
            in subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False).stdout
        ),
        "an answer of the new gateway",
    )
    assert answered
    assert psutil.pid_exists(worker)
    assert "SIGKILL; starting it again" in up.err.read_text()


def test_an_engine_supervisor_that_was_killed_is_started_again_and_its_worker_is_not_left(
    cascadia, simulated
):
    up = cascadia.start("up")
    eventually(lambda: "tiny  ready after" in up.err.read_text(), "ready")
    engines = json.loads(cascadia.call("status", "--json").stdout)["engines"]
    orphan = psutil.Process(engines["workers"][0]["pid"])
    os.kill(engines["pid"], signal.SIGKILL)

    def serving_again():
        found = cascadia.call("status", "--json")
        now = json.loads(found.stdout)["engines"] if found.returncode == 0 else None
        return now and now["pid"] != engines["pid"] and now["workers"][0]["status"] == "ready"

    eventually(serving_again, "a new worker")
    assert psutil.wait_procs([orphan], timeout=10)[1] == []


def test_a_killed_parent_takes_its_children_with_it(cascadia, simulated):
    up = cascadia.start("up")
    eventually(lambda: "tiny  ready after" in up.err.read_text(), "ready")
    family = up.children(recursive=True)
    up.kill()
    up.wait()
    assert psutil.wait_procs(family, timeout=PATIENCE)[1] == []


def test_a_key_file_that_cannot_be_used_is_refused_before_anything_starts(cascadia, simulated):
    cascadia.call("keys", "create", "mine")
    (cascadia.data / "pepper").unlink()
    called = cascadia.call("up")
    assert called.returncode == 78
    assert "pepper is missing" in called.stderr
    assert last_line(called.stderr).startswith("next: ")


def test_in_front_of_a_server_that_runs_the_gateway_is_this_very_process(cascadia):
    port, admin, upstream = free_port(), free_port(), free_port()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "engines.simulated",
            "--model",
            "m",
            "--host",
            "127.0.0.1",
            "--port",
            str(upstream),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        up = cascadia.start(
            "up",
            *("--upstream", f"http://127.0.0.1:{upstream}", "--listen", f"127.0.0.1:{port}"),
            CASCADIA_SERVER__ADMIN_LISTEN=f"127.0.0.1:{admin}",
        )
        key = re.search(r"gw_local_\w+", eventually(up.out.read_text, "the screen"))[0]
        headers = {"authorization": f"Bearer {key}"}

        def answered():
            try:
                body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                return httpx.post(url, json=body, headers=headers).status_code == 200
            except httpx.TransportError:
                return False

        eventually(answered, "an answer")
        assert up.children() == []
        up.send_signal(signal.SIGTERM)
        assert up.wait(timeout=PATIENCE) == 0
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("arguments", "file", "code"),
    [
        (["version"], "", 0),
        (["keys", "revoke", "nobody"], "", 1),
        (["up", "--nonsense"], "", 2),
        (["doctor"], "engines: [{name: a, model: ./nowhere}]", 3),
        (["status"], "", 69),
        (["models", "--url", "http://127.0.0.1:1"], "", 69),
        (["gateway"], "server: {lisen: x}", 78),
        (["up"], "server: {lisen: x}", 78),
        (["engines"], "engines: [{name: a, model: ./nowhere}]", 1),
    ],
)
def test_exit_codes(cascadia, arguments, file, code):
    if file:
        cascadia.file(file)
    called = cascadia.call(*arguments)
    assert called.returncode == code
    assert "Traceback" not in called.stderr
    if code:
        assert last_line(called.stderr or called.stdout)


def test_an_interrupted_verb_ends_with_130(cascadia):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = cascadia.start("models", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(PATIENCE)
            assert connection.recv(1)  # its request is sent: it waits for an answer now
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=PATIENCE) == 130
    assert last_line(process.err.read_text()) == "interrupted"


@pytest.mark.parametrize("verb", ["up", "gateway", "engines", "check"])
def test_a_typo_starts_nothing(cascadia, verb):
    cascadia.file("engines:\n  - name: tiny\n    engine: simulated\n    replcas: 2\n")
    called = cascadia.call(verb)
    assert called.returncode == 78
    assert "cascadia.yaml:4:5: CFG003" in called.stderr
    assert "did you mean 'replicas'?" in called.stderr
    assert last_line(called.stderr) == "next: cascadia check --config cascadia.yaml"
    assert not cascadia.data.exists()
