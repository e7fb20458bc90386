import http.server
import json
import os
import threading
from pathlib import Path

import psutil
import pytest

from engines import roster
from engines.roster import Roster, WorkerRecord, WorkerStatus
from gateway.cli.instance import only_one

WORKER = WorkerRecord(
    id="tiny-0",
    group="tiny",
    models={"tiny": "tiny"},
    engine="vllm",
    address="unix:/x",
    api_key="worker-secret",
    max_in_flight=4,
    status=WorkerStatus.FAILED,
    phase="given up",
    since=1.0,
    last_error="ValueError: no such model",
    log_tail=("line one", "line two"),
)


@pytest.fixture
def workers(data):
    """Publish a roster in the name of this process."""

    def publish(*workers, start_time=None):
        (data / "run").mkdir(parents=True, exist_ok=True)
        me = psutil.Process()
        published = Roster(pid=me.pid, start_time=start_time or me.create_time(), sequence=1, workers=workers)
        roster.write(data / "run" / roster.FILE_NAME, published)

    return publish


@pytest.fixture
def server():
    """An HTTP server that gives the answers it is told, by path."""
    answers = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path, (404, {}))
            if self.path == "/v1/models" and self.headers.get("authorization") not in {None, "Bearer good"}:
                status, body = 401, {}
            self.send_response(status)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    listening.answers = answers
    listening.url = f"http://127.0.0.1:{listening.server_port}"
    yield listening
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_nothing_running_ends_with_69(cascadia):
    called = cascadia("status")
    assert (called.code, called.last) == (69, "next: cascadia up")


def test_a_roster_of_a_supervisor_that_has_gone_is_nothing(cascadia, workers):
    workers(WORKER, start_time=1.0)
    assert cascadia("status").code == 69


def test_a_worker_that_was_given_up_says_why(cascadia, workers):
    workers(WORKER)
    called = cascadia("status")
    assert called.code == 0
    assert "gateway  not running" in called.out
    assert "tiny-0: ValueError: no such model" in called.out
    assert "    line two" in called.out


def test_status_as_json_has_no_workers_key(cascadia, workers):
    workers(WORKER)
    called = cascadia("status", "--json")
    assert called.json["gateway"] is None
    assert called.json["engines"]["pid"] == os.getpid()
    assert called.json["engines"]["workers"][0]["status"] == "failed"
    assert "worker-secret" not in called.out


@pytest.mark.parametrize(("code", "state"), [(200, "ready"), (503, "waiting")])
def test_a_running_gateway_is_asked_whether_it_is_ready(cascadia, data, server, code, state):
    server.answers["/readyz"] = (code, {"status": "x"})
    with only_one(data / "run", "gateway") as publish:
        publish("http://127.0.0.1:1", server.url)
        found = cascadia("status", "--json").json["gateway"]
        assert (found["state"], found["detail"], found["pid"]) == (state, {"status": "x"}, os.getpid())
        assert f"gateway  {state}  http://127.0.0.1:1" in cascadia("status").out


def test_a_gateway_that_does_not_answer_has_failed(cascadia, data):
    with only_one(data / "run", "gateway") as publish:
        publish("http://127.0.0.1:1", "http://127.0.0.1:1")
        assert cascadia("status", "--json").json["gateway"]["state"] == "failed"


def test_a_gateway_that_starts_says_so(cascadia, data):
    with only_one(data / "run", "gateway"):
        assert cascadia("status", "--json").json["gateway"]["state"] == "starting"


def test_models_are_asked_of_the_gateway_with_the_key(cascadia, data, server, monkeypatch):
    server.answers["/v1/models"] = (200, {"data": [{"id": "tiny"}]})
    monkeypatch.setenv("CASCADIA_API_KEY", "good")
    with only_one(data / "run", "gateway") as publish:
        publish(server.url, server.url)
        called = cascadia("models", "--json")
    assert called.json == {"version": 1, "models": [{"id": "tiny", "state": "callable", "from": server.url}]}


def test_a_key_can_come_from_a_private_file(cascadia, server, tmp_path):
    server.answers["/v1/models"] = (200, {"data": [{"id": "tiny"}]})
    key = tmp_path / "key"
    key.write_text("good\n")
    key.chmod(0o600)
    assert "tiny" in cascadia("models", "--url", f"{server.url}/v1/", "--key-file", str(key)).out
    key.chmod(0o644)
    called = cascadia("models", "--url", server.url, "--key-file", str(key))
    assert (called.code, called.last) == (1, f"next: chmod 600 {key}")


def test_a_wrong_key_is_told_and_not_repeated(cascadia, server, monkeypatch):
    monkeypatch.setenv("CASCADIA_API_KEY", "sk-wrong")
    called = cascadia("models", "--url", server.url)
    assert (called.code, called.last) == (1, "next: cascadia keys create NAME")
    assert "sk-wrong" not in called.err


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"data": 5}'])
def test_a_server_that_is_no_gateway_ends_with_69(cascadia, server, body):
    server.answers["/v1/models"] = (200, body)
    assert cascadia("models", "--url", server.url).code == 69


def test_a_gateway_that_cannot_be_reached_ends_with_69(cascadia):
    assert cascadia("models", "--url", "http://127.0.0.1:1").code == 69


def test_no_gateway_on_the_data_folder_ends_with_69(cascadia, monkeypatch):
    monkeypatch.setenv("CASCADIA_API_KEY", "good")
    assert cascadia("models").code == 69


def test_without_a_key_the_configuration_and_the_roster_answer(cascadia, workers):
    Path("cascadia.yaml").write_text(
        "engines: [{name: tiny, serve_as: [a, b]}, {name: other}]\nupstreams: [{url: 'http://h', models: {c: d}}]\n"
    )
    workers(WORKER)
    found = {model["id"]: model["state"] for model in cascadia("models", "--json").json["models"]}
    assert found == {"a": "failed", "b": "failed", "other": "not running", "c": "unknown"}


def test_no_model_is_no_error(cascadia):
    called = cascadia("models")
    assert (called.code, called.out) == (0, "")
    assert "cascadia up" in called.err
