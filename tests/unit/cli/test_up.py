import pytest

from gateway.cli.up import group_of


def test_a_hugging_face_id_is_served_under_its_id():
    assert group_of("Qwen/Qwen3-0.6B", ["--x"]) == {
        "name": "Qwen3-0.6B",
        "model": "Qwen/Qwen3-0.6B",
        "serve_as": ["Qwen/Qwen3-0.6B"],
        "args": ["--x"],
    }


def test_a_folder_is_served_under_its_name(tmp_path):
    folder = tmp_path / "my model (v2)"
    folder.mkdir()
    assert group_of(str(folder), []) == {
        "name": "my-model-v2",
        "model": str(folder),
        "serve_as": ["my-model-v2"],
        "args": [],
    }


def test_a_folder_that_does_not_exist_is_still_a_folder():
    assert group_of("./nowhere", [])["serve_as"] == ["nowhere"]


@pytest.mark.parametrize("reference", ["/", "..", "---"])
def test_every_reference_gives_a_name(reference, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert group_of(reference, [])["name"]


def test_engine_arguments_without_a_model_of_theirs_are_refused(cascadia):
    called = cascadia("up", "--upstream", "http://127.0.0.1:1", "--", "--max-model-len", "8")
    assert (called.code, called.last) == (2, "next: cascadia up --help")


def test_a_wrong_upstream_is_refused_at_its_option(cascadia):
    called = cascadia("up", "--upstream", "ftp://x")
    assert called.code == 78
    assert called.err.startswith("--upstream: CFG006 ")


def test_engines_without_engines_are_refused(cascadia):
    called = cascadia("engines")
    assert (called.code, called.last) == (78, "next: cascadia config show")
