"""The sections on request bodies: hosts, fields and caps that are what they say, and nothing else."""

from __future__ import annotations

import json

import pytest

from config.load import load
from config.problems import ConfigErrors


def refused(tmp_path, text):
    file = tmp_path / "cascadia.yaml"
    file.write_text(text)
    with pytest.raises(ConfigErrors) as error:
        load(file, {})
    return error.value.problems[0]


HOSTS = ["media.example.org", "a.b", "x-1.example.com", "xn--bcher-kva.example"]
NO_HOSTS = [
    *(
        "localhost",
        "127.0.0.1",
        "0x7f.1",
        "10.0.0.1",
        "[::1]",
        "::1",
        "2130706433",
        "example.1",
        "example.0x7f",
    ),
    *("", ".", "a.", ".a.b", "a..b", "-a.b", "a-.b", "*.example.org", "Example.org", "bücher.example"),
    *(
        "https://example.org",
        "example.org:443",
        "user@example.org",
        "example.org/x",
        "a b.c",
        "a.b\n",
        "a_b.c",
    ),
    "x" * 64 + ".example",
    ".".join(["label"] * 50),
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_media_host_is_one_name(host):
    variable = {"CASCADIA_REQUESTS__ALLOWED_MEDIA_HOSTS": json.dumps([host])}
    assert load(None, variable).config.requests.allowed_media_hosts == (host,)


@pytest.mark.parametrize("host", NO_HOSTS)
def test_what_is_no_name_of_one_host_is_refused(tmp_path, host):
    problem = refused(tmp_path, f"requests: {{allowed_media_hosts: [{json.dumps(host)}]}}\n")
    assert problem.code == "CFG006"
    assert "allowed_media_hosts" in problem.what


@pytest.mark.parametrize("field", ["", "a b", "a.b.c", "chat_template_kwargs.", ".x", "a\n", "é"])
def test_what_is_no_name_of_a_field_is_refused(tmp_path, field):
    problem = refused(tmp_path, f"requests: {{allowed_fields: [{json.dumps(field)}]}}\n")
    assert problem.code == "CFG006"


def test_privileged_fields_cannot_all_be_let_through_at_once(tmp_path):
    assert refused(tmp_path, "requests: {privileged_fields: pass}\n").code == "CFG005"


def test_caps_of_models_and_keys_are_written_by_name(tmp_path):
    file = tmp_path / "cascadia.yaml"
    file.write_text("caps: {n: null, models: {org/model: {n: 1}}, keys: {4f0c1d2e3a5b: {max_tokens: 5}}}\n")
    caps = load(file, {}).config.caps
    assert (caps.n, caps.stop) == (None, 4)
    assert (caps.models["org/model"].n, caps.models["org/model"].stop) == (1, None)
    assert caps.keys["4f0c1d2e3a5b"].max_tokens == 5
    variable = {"CASCADIA_CAPS__MODELS": '{"m": {"n": 2}}', "CASCADIA_CAPS__N": "3"}
    caps = load(None, variable).config.caps
    assert (caps.n, caps.models["m"].n) == (3, 2)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("caps: {n: 0}\n", "CFG006"),
        ("caps: {n: '8'}\n", "CFG004"),
        ("caps: {n: true}\n", "CFG004"),
        ("caps: {models: {m: {models: {}}}}\n", "CFG003"),
        ("caps: {models: {m: {nn: 1}}}\n", "CFG003"),
        ("caps: {keys: {k: {max_tokens: 0}}}\n", "CFG006"),
        ("caps: {models: {'a b': {n: 1}}}\n", "CFG006"),
    ],
)
def test_a_cap_that_cannot_be_one_is_refused(tmp_path, text, code):
    assert refused(tmp_path, text).code == code
