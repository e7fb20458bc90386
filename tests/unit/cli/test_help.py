"""Help is short, quick to make, and the same for everybody who asks."""

import subprocess
import sys

import pytest

from gateway.cli.edge import PROGRAM, command_of
from gateway.cli.reference import helps, pages
from gateway.cli.verbs import VERBS, overview

ROOT = __import__("pathlib").Path(__file__).parents[3]
PAGES = [page for verb in VERBS for page in helps(command_of(verb), f"{PROGRAM} {verb.name}")]


def test_the_overview_has_at_most_forty_lines_and_every_verb():
    text = overview()
    assert len(text.splitlines()) <= 40
    assert all(f"  {verb.name} " in text for verb in VERBS)
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_is_shown_however_it_is_asked_for(cascadia, arguments):
    called = cascadia(*arguments)
    assert (called.code, called.out, called.err) == (0, overview() + "\n", "")


@pytest.mark.parametrize(("path", "text"), PAGES, ids=[path for path, _ in PAGES])
def test_every_help_has_at_most_sixty_lines_and_an_example(path, text):
    assert len(text.splitlines()) <= 60
    is_group_alone = path.removeprefix("cascadia ") in {
        "keys",
        "users",
        "teams",
        "organisations",
        "config",
        "admin",
        "audit",
    }
    assert is_group_alone or "Example: " in text
    assert is_group_alone or f"{path} " in text.split("Example: ")[1] + " " or "completion" in path


def test_the_overview_imports_nothing_but_the_standard_library_and_three_modules_of_ours():
    script = (
        "import sys; before = set(sys.modules); from gateway.__main__ import main; sys.argv = ['cascadia', '--help'];"
        "main(); loaded = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names);"
        "print(sorted(loaded), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr.splitlines()[-1] == "['gateway']"


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_a_verbs_help_imports_no_heavy_library(verb):
    script = (
        f"import sys; from gateway.__main__ import main; sys.argv = ['cascadia', '{verb}', '--help']; main();"
        "heavy = {'pydantic', 'fastapi', 'rich', 'httpx', 'ruamel', 'uvicorn', 'redis'};"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(("name", "text"), pages().items(), ids=list(pages()))
def test_the_reference_is_up_to_date(name, text):
    assert (ROOT / name).read_text(encoding="utf-8") == text, "run: python -m gateway.cli.reference"
