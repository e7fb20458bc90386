import pytest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(cascadia, shell):
    called = cascadia("completion", shell)
    assert called.code == 0
    assert f"_CASCADIA_COMPLETE=complete_{shell}" in called.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("cascadia ke", {"keys"}),
        ("cascadia keys ", {"create", "list", "show", "rotate", "revoke"}),
        ("cascadia up --ups", {"--upstream"}),
    ],
)
def test_verbs_and_options_are_completed(cascadia, monkeypatch, words, expected):
    monkeypatch.setenv("_CASCADIA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    assert set(cascadia().out.split()) == expected


def test_version_names_the_program_first(cascadia):
    assert cascadia("version").out.startswith("cascadia 0.")
    assert cascadia("--version").out == cascadia("version").out


def test_version_as_json(cascadia):
    found = cascadia("version", "--json").json
    assert {"version", "cascadia", "python", "uvicorn", "engine"} <= set(found)
    assert found["engine"] is None


def test_a_wrong_configuration_does_not_keep_the_versions_back(cascadia, monkeypatch):
    monkeypatch.setenv("CASCADIA_SERVER__LISTEN", "nonsense")
    assert cascadia("version").code == 0
