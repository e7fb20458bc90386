import json
import stat

from ruamel.yaml import YAML

from config.load import Override, load
from config.schema import Config
from config.write import HIDDEN, as_yaml, plain, public, snapshot

TEXT = """\
server:
  listen: 127.0.0.1:1
engines:
  - name: a
    args: ["--x", "$${NOT_A_VARIABLE}"]
upstreams:
  - url: http://127.0.0.1:2
    api_key: ${KEY}
"""


def loaded(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    return load(file, {"KEY": "sk-topsecret"})


def test_a_snapshot_is_read_back_the_same_and_private(tmp_path):
    config = loaded(tmp_path).config
    file = tmp_path / "snapshot.json"
    snapshot(config, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load(file, {}).config == config


def test_a_snapshot_of_the_defaults_is_the_defaults(tmp_path):
    snapshot(Config(), tmp_path / "s.json")
    assert load(tmp_path / "s.json", {}).config == Config()


def test_secrets_are_hidden_unless_asked_for(tmp_path):
    config = loaded(tmp_path).config
    assert "sk-topsecret" not in json.dumps(plain(config, reveal=False))
    assert plain(config, reveal=True)["upstreams"][0]["api_key"] == "sk-topsecret"


def test_what_is_set_is_shown_without_defaults(tmp_path):
    shown = YAML(typ="safe").load(as_yaml(loaded(tmp_path), defaults=False, why=False))
    assert shown == {
        "server": {"listen": "127.0.0.1:1"},
        "engines": [{"name": "a", "args": ["--x", "${NOT_A_VARIABLE}"]}],
        "upstreams": [{"url": "http://127.0.0.1:2", "api_key": HIDDEN}],
    }


def test_each_value_says_what_set_it(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    option = Override(("server", "listen"), "127.0.0.1:9", "--listen")
    both = load(file, {"KEY": "k", "CASCADIA_LOGGING__LEVEL": "debug"}, overrides=[option])
    lines = as_yaml(both, defaults=True, why=True).splitlines()
    assert "  listen: 127.0.0.1:9 # --listen" in lines
    assert "  level: debug # CASCADIA_LOGGING__LEVEL" in lines
    assert f"  - name: a # {file}:4:11" in lines
    assert "  policy: scored # default" in lines


def test_arguments_of_engines_that_are_named_after_a_secret_are_hidden(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(
        "engines:\n  - {name: a, model: m, args: [--api-key, k1, --x, y, --hf-token=k2, --PASSWORD, --secret, k3, z]}\n"
    )
    shown = public(load(file, {}).config)["engines"][0]["args"]
    assert shown == [
        *("--api-key", HIDDEN, "--x", "y", f"--hf-token={HIDDEN}"),
        *("--PASSWORD", "--secret", HIDDEN, "z"),
    ]
