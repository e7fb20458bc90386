"""What holds for the whole source: who imports whom, what no file may say, and what is shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.repository import ROOT, text_of, tracked

PACKAGES = ("config", "engines", "gateway", "simulation")
LARGEST_WHEEL_BYTES = 5 * 1024 * 1024

MACHINE_PATH = re.compile(
    r"(?<![\w./$}-])/(?:work|root|opt/(?!cascadia\b|engine\b)\w+|home/(?!u\b)\w+)(?:/|\b)"
)
"""A folder of some developer's machine. The images' own /opt/cascadia and the /opt/engine of an example are not."""

NOT_ABOUT_THE_PRODUCT = re.compile(
    r"\b(?:[C]laude|[C]opilot|[C]hatGPT|[C]o-authored-by|[p]rompted|sub[-]?[a]gent|AI [a]ssistant|issue \d+)\b"
)
"""The project speaks of the project alone. The brackets keep this very line from matching."""

HOSTS = re.compile(r"https?://(?P<host>[A-Za-z0-9.-]+)")
KNOWN_HOSTS = {
    "docs.python.org",
    "download.pytorch.org",  # PyTorch's own index for CPUs, the one index that is named
    "github.com",
    "html.spec.whatwg.org",
    "json-schema.org",
    "keepachangelog.com",
    "semver.org",
    "www.apache.org",
    "www.rfc-editor.org",
}
"""Hosts that a file may name, all of them documentation but one."""


def is_nowhere(host: str) -> bool:
    """Whether `host` is an address of this machine or network, or a name that never resolves outside it."""
    return (
        "." not in host.rstrip(".")
        or re.fullmatch(r"[\d.]+", host) is not None
        or host.endswith((".example", ".invalid", ".test", ".localhost", "example.org", "example.com"))
    )


def test_imports_keep_their_direction() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
    ]
    linted = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


def test_every_package_of_the_gateway_has_its_layer() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    layers = re.search(r"^layers = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    assert layers is not None
    named = set(re.findall(r"gateway\.(\w+)", layers[1]))
    found = {path.name.removesuffix(".py") for path in (ROOT / "gateway").iterdir() if _is_module(path)}
    assert named == found - {"__init__"}


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").exists()


@pytest.mark.parametrize(
    "pattern", [MACHINE_PATH, NOT_ABOUT_THE_PRODUCT], ids=["machine paths", "other words"]
)
def test_no_file_speaks_of_anything_but_the_product(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if (text := text_of(path)) is not None and path != Path(__file__)
        for match in pattern.finditer(text)
    ]
    assert not found


def test_no_file_names_a_host_that_is_not_known() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match['host']}"
        for path in tracked()
        if (text := text_of(path)) is not None
        for match in HOSTS.finditer(text)
        if match["host"] not in KNOWN_HOSTS and not is_nowhere(match["host"])
    ]
    assert not found


def test_everything_public_has_a_docstring() -> None:
    """Ruff asks the same with its D rules; a `noqa` would silence it, and nothing silences this."""
    bare = [
        f"{path.relative_to(ROOT)}: {name}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in without_docstring(ast.parse(path.read_text("utf-8")))
    ]
    assert not bare


def without_docstring(module: ast.Module) -> list[str]:
    """Public classes and functions of a module, methods of public classes among them, that say nothing of themselves."""
    found = [] if ast.get_docstring(module) or not module.body else ["the module"]
    holders: list[ast.Module | ast.ClassDef] = [module]
    while holders:
        for node in holders.pop().body:
            if not isinstance(
                node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            ) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                holders.append(node)
            if not ast.get_docstring(node) and not _repeats(node):
                found.append(node.name)
    return found


def _repeats(node: ast.AST) -> bool:
    """Whether it is the setter of a property, or an overload: the other half has the docstring."""
    decorators = getattr(node, "decorator_list", [])
    return any(
        (isinstance(each, ast.Attribute) and each.attr == "setter")
        or (isinstance(each, ast.Name) and each.id == "overload")
        for each in decorators
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    """Data files too: the bundled model, requirement lists, flags, examples."""
    shipped = set(zipfile.ZipFile(wheel).namelist())
    ours = {str(path.relative_to(ROOT)) for path in tracked() if path.relative_to(ROOT).parts[0] in PACKAGES}
    assert ours <= shipped


def test_wheel_holds_the_bundled_model_and_its_licence(wheel: Path) -> None:
    shipped = zipfile.ZipFile(wheel).namelist()
    model = "engines/bundled/cascadia-tiny"
    for name in (
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "chat_template.jinja",
        "README.md",
        "LICENSE",
    ):
        assert f"{model}/{name}" in shipped
    assert any(name.endswith(f".dist-info/licenses/{model}/LICENSE") for name in shipped)


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    """No tests, no benchmarks, no path file that runs code at the start of every Python."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".pth", ".pyc"))]


def test_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size <= LARGEST_WHEEL_BYTES


def test_wheel_installs_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "cascadia = gateway.__main__:main" in archive.read(points).decode()
