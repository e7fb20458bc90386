import json
from pathlib import Path

import pytest

from config.json_schema import json_schema


@pytest.fixture
def file(cascadia):
    path = Path("cascadia.yaml")
    path.write_text(
        "server:\n  listen: 127.0.0.1:7000\nupstreams:\n  - url: http://127.0.0.1:9\n    api_key: ${K}\n"
    )
    return path


def test_show_says_what_is_set(cascadia, file, monkeypatch):
    monkeypatch.setenv("K", "sk-topsecret")
    shown = cascadia("config", "show").out
    assert "listen: 127.0.0.1:7000" in shown
    assert "timeouts" not in shown
    assert "sk-topsecret" not in shown


def test_show_effective_says_why(cascadia, file, monkeypatch):
    monkeypatch.setenv("K", "sk-topsecret")
    monkeypatch.setenv("CASCADIA_LOGGING__LEVEL", "debug")
    shown = cascadia("config", "show", "--effective", "--why").out
    assert "listen: 127.0.0.1:7000 # cascadia.yaml:2:11" in shown
    assert "level: debug # CASCADIA_LOGGING__LEVEL" in shown
    assert "policy: scored # default" in shown


def test_show_as_json_has_values_and_origins(cascadia, file, monkeypatch):
    monkeypatch.setenv("K", "sk-topsecret")
    called = cascadia("config", "show", "--json")
    assert called.json["version"] == 1
    assert called.json["config"]["server"]["listen"] == "127.0.0.1:7000"
    assert called.json["origins"]["upstreams[0].url"] == "cascadia.yaml:4:10"
    assert "sk-topsecret" not in called.out


def test_show_without_anything_set_says_so(cascadia):
    called = cascadia("config", "show")
    assert (called.code, called.out) == (0, "")
    assert "--effective" in called.err


def test_schema_is_the_schema(cascadia):
    assert json.loads(cascadia("config", "schema").out) == json_schema()


def test_check_says_ok(cascadia, file, monkeypatch):
    monkeypatch.setenv("K", "x")
    called = cascadia("check")
    assert (called.code, called.out) == (0, "")
    assert "cascadia.yaml: ok, 1 upstreams, 0 workers" in called.err
    assert cascadia("check", "--json").json == {
        "version": 1,
        "ok": True,
        "file": "cascadia.yaml",
        "workers": [],
    }


def test_check_creates_no_key(cascadia, data):
    cascadia("check")
    assert not data.exists()


def test_check_refuses_a_wrong_file_with_78(cascadia, file):
    called = cascadia("check")
    assert called.code == 78
    assert called.last == "next: export K=VALUE"


def test_check_prepares_the_engines(cascadia):
    Path("cascadia.yaml").write_text("engines:\n  - {name: a, engine: simulated, replicas: 2}\n")
    assert cascadia("check", "--json").json["workers"] == ["a-0", "a-1"]


def test_check_refuses_a_model_that_is_not_there(cascadia):
    Path("cascadia.yaml").write_text("engines:\n  - {name: a, model: ./nowhere}\n")
    called = cascadia("check")
    assert called.code == 78
    assert "nowhere" in called.err
    assert called.last.startswith("next: ")


def test_an_unknown_variable_is_a_warning(cascadia, monkeypatch):
    monkeypatch.setenv("CASCADIA_SERVER__LISTN", "x")
    called = cascadia("check")
    assert called.code == 0
    assert "did you mean CASCADIA_SERVER__LISTEN?" in called.err
