"""The documentation agrees with the program: tables, links, paths and commands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.core.outcome import Outcome
from gateway.proxy.states import NEXT, State
from tests.architecture.cli import parse
from tests.architecture.repository import ROOT, tracked
from tests.architecture.tables import TABLES, error_classes, scraped, with_table

PAGES = sorted(
    path
    for path in tracked()
    if path.suffix == ".md" and path.is_relative_to(ROOT) and "bundled" not in path.parts
)
BY_NAME = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES]
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"`(?P<code>[^`\n]+)`")
OUR_FOLDERS = ("benchmarks", "config", "docs", "engines", "gateway", "requirements", "simulation", "tests")
OUR_PATH = re.compile(rf"(?:{'|'.join(OUR_FOLDERS)})/[\w./-]*|[\w-]+/[\w/-]+\.py")


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in TABLES])
def test_tables_are_what_the_program_says(path: Path) -> None:
    page = path.read_text("utf-8")
    assert page == with_table(page, TABLES[path]()), "run: python -m tests.architecture.tables"


def test_every_error_that_is_raised_has_a_row() -> None:
    page = (ROOT / "docs" / "errors.md").read_text("utf-8")
    for name in raised():
        assert f"| `{name}` |" in page


def raised() -> set[str]:
    """The error classes that the gateway makes instances of."""
    known = {error.__name__ for error in error_classes()}
    calls = [
        node.func
        for path in (ROOT / "gateway").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]
    plain = {call.id for call in calls if isinstance(call, ast.Name)}
    through = {
        call.value.id
        for call in calls
        if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name)
    }
    return known & (plain | through)


def test_every_outcome_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for outcome in Outcome:
        assert f"| `{outcome}` |" in page


def test_metrics_named_in_the_text_exist() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    known = {sample.name for family in scraped() for sample in family.samples} | {
        family.name for family in scraped()
    }
    named = set(re.findall(r"cascadia_[a-z_]+[a-z]", page)) - {"cascadia_control"}
    assert named <= known


def test_every_transition_of_an_exchange_is_in_the_diagram() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawn = set(re.findall(r"^    ([A-Z]+) --> ([A-Z]+)", page, re.MULTILINE))
    assert drawn == {(state.name, following.name) for state in State for following in NEXT[state]}


@pytest.mark.parametrize("page", BY_NAME)
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(page.read_text("utf-8")):
        target, _, anchor = match["target"].partition("#")
        if target.startswith(("https://", "http://")):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), f"{page.name} links to {match['target']}"
        if anchor:
            assert anchor in anchors(place), f"{page.name} links to {match['target']}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", BY_NAME)
def test_paths_in_the_text_exist(page: Path) -> None:
    for match in CODE.finditer(page.read_text("utf-8")):
        code = match["code"]
        if OUR_PATH.fullmatch(code):
            assert any((base / code).exists() for base in (ROOT, ROOT / "gateway")), (
                f"{page.name} names {code}"
            )


def shell_lines(page: Path) -> Iterator[str]:
    """The commands of `console` blocks, lines that end in a backslash joined, comments taken off."""
    for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                yield line[2:]


def commands(page: Path) -> Iterator[list[str]]:
    """Every call of `cascadia` on a page, as words: console lines and code in the text."""
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        if words and words[0] == "cascadia":
            yield words[1:]
    for match in CODE.finditer(page.read_text("utf-8")):
        words = match["code"].split()
        if words[:1] == ["cascadia"] and len(words) > 1 and words[1].isalpha() and words[1].islower():
            yield words[1:]


@pytest.mark.parametrize("page", BY_NAME)
def test_commands_in_the_text_are_commands_of_the_cli(page: Path) -> None:
    for words in commands(page):
        parse(words)


def test_make_targets_in_the_text_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        for match in CODE.finditer(page.read_text("utf-8")):
            words = match["code"].split()
            if words[0] == "make" and len(words) > 1:
                assert words[1] in targets, f"{page.name} names make {words[1]}"
        for line in shell_lines(page):
            if line.startswith("make "):
                assert line.split()[1] in targets


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"({page.name})" in index


def test_every_decision_is_in_the_list_and_has_its_four_parts() -> None:
    listed = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    for page in sorted((ROOT / "docs" / "adr").glob("0*.md")):
        assert f"({page.name})" in listed
        headings = re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"]


def test_changelog_names_the_version_of_the_package() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    version = re.search(r'^version = "([^"]+)"$', project, re.MULTILINE)
    assert version is not None
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")
