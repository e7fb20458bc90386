"""Each finding of the doctor: what is wrong, and the command that mends it."""

import os
import socket
import threading
from pathlib import Path

import pytest

from gateway.cli.checks import machine
from gateway.cli.checks.finding import Level
from gateway.cli.instance import only_one


@pytest.fixture
def examined(cascadia):
    def examine(text=None):
        if text is not None:
            Path("cascadia.yaml").write_text(text)
        called = cascadia("doctor", "--json")
        by_name = {finding["name"]: finding for finding in called.json["findings"]}
        return called, by_name

    return examine


SIMULATED = (
    "server: {listen: '127.0.0.1:0', admin_listen: '127.0.0.1:0'}\nengines: [{name: a, engine: simulated}]\n"
)


def test_a_machine_on_which_a_start_would_succeed_passes(examined, cascadia):
    called, found = examined(SIMULATED)
    assert called.code == 0
    assert called.json["ok"] is True
    assert {finding["level"] for finding in found.values()} <= {"ok", "warn"}
    assert "checks passed" in cascadia("doctor").out


def test_a_failed_check_ends_with_3_and_names_the_command_last(examined, cascadia):
    called, found = examined(SIMULATED.replace("engine: simulated", "model: bundled"))
    assert called.code == 3
    assert found["engine"] == {
        "name": "engine",
        "level": "fail",
        "found": found["engine"]["found"],
        "next": "cascadia engines install",
    }
    assert cascadia("doctor").out.rstrip().splitlines()[-1] == "next: cascadia engines install"


def test_every_finding_that_is_not_ok_has_a_next_command(examined):
    _, found = examined("server: {lisen: x}\n")
    assert all(finding["next"] for finding in found.values() if finding["level"] != "ok")


def test_a_wrong_configuration_is_a_finding_and_the_rest_is_still_examined(examined):
    called, found = examined("server: {lisen: x}\n")
    assert called.code == 3
    assert "cascadia.yaml:1:10" in found["configuration"]["found"]
    assert "disk" in found


def test_a_taken_port_names_its_process(examined):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        _, found = examined(SIMULATED.replace("listen: '127.0.0.1:0'", f"listen: '127.0.0.1:{port}'", 1))
    assert found["API address"]["level"] == "fail"
    assert "process" in found["API address"]["found"]


def test_the_ports_of_the_gateway_that_runs_here_are_no_trouble(examined, data):
    with only_one(data / "run", "gateway") as publish:
        publish("http://127.0.0.1:1", "http://127.0.0.1:2")
        _, found = examined(SIMULATED)
    assert found["API address"]["found"] == f"http://127.0.0.1:1, a gateway runs here: process {os.getpid()}"
    assert found["admin address"]["level"] == "ok"


def test_a_model_that_is_not_there_is_a_finding(examined):
    _, found = examined("engines: [{name: a, model: ./nowhere}]\n")
    assert found["model of a"]["level"] == "fail"


def test_an_engine_python_that_does_not_run_is_a_finding(examined):
    _, found = examined("engines: [{name: a, python: ./nowhere/python}]\n")
    assert found["engine"]["level"] == "fail"


def test_more_gpus_than_there_are_is_a_finding(examined, monkeypatch):
    monkeypatch.setattr("engines.launch.gpus.detect", lambda _: ())
    _, found = examined("engines: [{name: a, gpus_per_replica: 2, replicas: 2}]\n")
    assert found["GPUs"]["found"] == "4 are configured and 0 are usable"


def test_gpus_are_described_and_lost_ones_warned_of(examined, monkeypatch):
    from engines.launch.gpus import Gpu

    both = (Gpu(0, "H200", "", 150 << 30, 140 << 30), Gpu(1, trouble="GPU is lost"))
    monkeypatch.setattr("engines.launch.gpus.detect", lambda _: both)
    _, found = examined(SIMULATED)
    assert found["GPU 0"]["found"] == "H200, 140 of 150 GiB free"
    assert found["GPU 1"]["level"] == "warn"


def test_keys_are_counted_and_a_broken_file_is_a_finding(examined, cascadia, data):
    cascadia("keys", "create", "a")
    assert examined(SIMULATED)[1]["API keys"]["found"] == "1 valid"
    cascadia("keys", "revoke", "a")
    assert examined()[1]["API keys"]["level"] == "warn"
    (data / "keys.json").write_text("{")
    assert examined()[1]["API keys"]["level"] == "fail"


def test_an_open_data_folder_is_a_warning(examined, data):
    data.mkdir(parents=True)
    data.chmod(0o755)
    assert examined(SIMULATED)[1]["data folder"]["next"] == f"chmod 700 {data}"


def test_a_low_limit_of_open_files_is_a_finding(examined, monkeypatch):
    for soft, level in ((512, "fail"), (2048, "warn"), (65536, "ok")):
        monkeypatch.setattr(machine.resource, "getrlimit", lambda _, soft=soft: (soft, 65536))
        assert examined(SIMULATED)[1]["open files"]["level"] == level


def test_a_clock_before_this_program_is_a_finding(examined, monkeypatch):
    monkeypatch.setattr(machine.time, "time", lambda: 1.0)
    assert examined(SIMULATED)[1]["clock"]["level"] == "fail"


def test_a_full_disk_is_a_finding(examined, monkeypatch):
    usage = machine.shutil.disk_usage("/")._replace(free=5)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    assert examined(SIMULATED)[1]["disk"]["level"] == "fail"


@pytest.fixture
def redis_port():
    """A server that answers one connection as a Redis that wants the password "right"."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(5)

    def serve():
        connection, _ = listening.accept()
        with connection, connection.makefile("rwb") as stream:
            while line := stream.readline():
                words = []
                for _ in range(int(line[1:])):
                    stream.readline()
                    words.append(stream.readline().strip())
                stream.write(answer(words))
                stream.flush()

    def answer(words):
        if b"AUTH" in words and b"right" not in words:
            return b"-WRONGPASS invalid username-password pair\r\n"
        if words[0] == b"HELLO":
            return b"%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n"
        if words[0] == b"INFO":
            text = b"redis_version:7.2.0\r\n"
            return b"$%d\r\n%s\r\n" % (len(text), text)
        return b"+OK\r\n"

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1]
    thread.join()
    listening.close()


def test_a_redis_that_answers_is_named(examined, redis_port, monkeypatch):
    monkeypatch.setenv("RP", "right")
    text = SIMULATED + f"redis: {{url: 'redis://127.0.0.1:{redis_port}/0', password: '${{RP}}'}}\n"
    assert examined(text)[1]["Redis"]["found"] == f"redis://127.0.0.1:{redis_port}/0: redis 7.2.0 answers"


def test_a_redis_that_refuses_is_a_finding_without_the_password(examined, redis_port, monkeypatch):
    monkeypatch.setenv("RP", "wr0ng-passw0rd")
    text = SIMULATED + f"redis: {{url: 'redis://127.0.0.1:{redis_port}', password: '${{RP}}'}}\n"
    called, found = examined(text)
    assert found["Redis"]["level"] == Level.FAIL
    assert "wr0ng" not in called.out


def test_a_redis_that_is_not_there_is_a_finding(examined):
    assert examined(SIMULATED + "redis: {url: 'redis://127.0.0.1:1'}\n")[1]["Redis"]["level"] == "fail"
