"""Sixty seeded mistakes in a good file: each is refused at its place, with what was meant, and nothing starts."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.load import load
from config.problems import ConfigErrors
from gateway.cli.edge import run

GOOD = """\
version: 1
server:
  listen: 127.0.0.1:8000
  admin_listen: 127.0.0.1:8001
  insecure_listen: false
  max_body_bytes: 8388608
  drain_seconds: 120
auth:
  mode: keys
timeouts:
  connect: 1
  queue: 30
  first_token: 120
  stall: 30
  total: 600
admission:
  max_queue: 1024
  policy: least_requests
engines:
  - name: tiny
    model: bundled
    engine: vllm
    replicas: 1
    transport: unix
    max_in_flight: 128
    start_timeout: 600
    args: ["--max-model-len", "2048"]
upstreams:
  - name: left
    url: http://127.0.0.1:9000
    api_key: ${UPSTREAM_KEY}
    api_key_file_: upstream.key
    engine: openai
logging:
  level: info
  format: auto
""".replace("    api_key_file_: upstream.key\n", "")

ENVIRON = {"UPSTREAM_KEY": "sk-0123456789", "HOME": "/nowhere"}
LINES = GOOD.splitlines()
KEYED = [index for index, line in enumerate(LINES) if re.match(r"\s*(- )?\w+:", line)]


@dataclass
class Typo:
    text: str
    line: int
    meant: str | None = None
    mode: int = 0o600
    name: str = ""
    extra: dict[str, tuple[str, int]] = field(default_factory=dict)


def key_of(line: str) -> str:
    return re.match(r"\s*(?:- )?(\w+):", line)[1]


def misspelt(word: str, rng: random.Random) -> str:
    """A word as fingers write it: a letter lost, doubled, swapped with its neighbour or hit beside."""
    while True:
        at = rng.randrange(1, len(word))
        wrong = {
            0: word[:at] + word[at + 1 :],
            1: word[:at] + word[at] + word[at:],
            2: word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
            3: word[:at] + rng.choice("aeinrst") + word[at + 1 :],
        }[rng.randrange(4)]
        if wrong != word and re.fullmatch(r"\w+", wrong):
            return wrong


def replaced(index: int, line: str, **more) -> Typo:
    return Typo("\n".join([*LINES[:index], line, *LINES[index + 1 :]]) + "\n", index + 1, **more)


def key(rng: random.Random) -> Typo:
    index = rng.choice([i for i in KEYED if len(key_of(LINES[i])) > 3])
    word = key_of(LINES[index])
    return replaced(index, LINES[index].replace(word, misspelt(word, rng), 1), meant=word)


def value(name: str, wrong: str, meant: str | None = None) -> Typo:
    index = next(i for i in KEYED if key_of(LINES[i]) == name)
    return replaced(index, re.sub(r": .*", lambda _: f": {wrong}", LINES[index]), meant=meant)


def wrong_type(rng: random.Random) -> Typo:
    return rng.choice(
        [
            value("insecure_listen", "yes", "true"),
            value("insecure_listen", "off", "false"),
            value("max_body_bytes", '"8388608"', "8388608"),
            value("drain_seconds", "two minutes"),
            value("max_queue", "1024 calls", "1024"),
            value("replicas", "[1]"),
            value("args", "--max-model-len", "[--max-model-len]"),
            value("args", '["--max-model-len", 2048]', '"2048"'),
            value("model", "7", '"7"'),
            value("first_token", "120s", "120"),
        ]
    )


def enumeration(rng: random.Random) -> Typo:
    name, word = rng.choice(
        [
            ("policy", "least_requests"),
            ("mode", "keys"),
            ("transport", "unix"),
            ("level", "info"),
            ("format", "auto"),
        ]
    )
    return value(name, misspelt(word, rng), word)


def variable(rng: random.Random) -> Typo:
    wrong = misspelt("UPSTREAM_KEY", rng).upper()
    return value("api_key", f"${{{wrong if wrong != 'UPSTREAM_KEY' else 'UPSTREAM_KYE'}}}", "UPSTREAM_KEY")


def duplicate(rng: random.Random) -> Typo:
    index = rng.choice([i for i in KEYED if LINES[i].startswith("  ") and "- " not in LINES[i]])
    return Typo(
        "\n".join([*LINES[: index + 1], LINES[index], *LINES[index + 1 :]]) + "\n", index + 2, "remove"
    )


def url(rng: random.Random) -> Typo:
    wrong = rng.choice(
        [
            "htp://127.0.0.1:9000",
            "127.0.0.1:9000",
            "http://127.0.0.1:port",
            "http://user:pw@host",
            "http://h:9/path",
        ]
    )
    return value("url", wrong, "http://" if "user" not in wrong and "path" not in wrong else None)


def out_of_bounds(rng: random.Random) -> Typo:
    name, wrong, meant = rng.choice(
        [
            ("connect", "0", "1.0"),
            ("replicas", "0", "1"),
            ("listen", "127.0.0.1", "127.0.0.1:8000"),
            ("listen", "127.0.0.1:80000", "127.0.0.1:8000"),
            ("listen", "0.0.0.0:8000", "insecure_listen"),
            ("admin_listen", "127.0.0.1:8000", "another port"),
        ]
    )
    return value(name, wrong, meant)


def open_secret(_: random.Random) -> Typo:
    typo = value("api_key", "sk-written-here", "0600")
    typo.mode = 0o644
    return typo


def secret_file(rng: random.Random) -> Typo:
    mode = rng.choice([0o644, 0o640, 0o666])
    index = next(i for i in KEYED if key_of(LINES[i]) == "api_key")
    typo = replaced(index, "    api_key_file: upstream.key", meant="0600")
    typo.extra["upstream.key"] = ("secret", mode)
    return typo


def layout(rng: random.Random) -> Typo:
    index = rng.choice([i for i in KEYED if LINES[i].startswith("  ") and "- " not in LINES[i]])
    line = LINES[index]
    return rng.choice(
        [
            replaced(index, "\t" + line.lstrip(), meant="spaces"),
            replaced(index, line.replace(": ", " ", 1), meant="colon"),
            replaced(index, line.replace(": ", ': "', 1), meant="quote"),
            replaced(index, "   " + line, meant="indentation"),
        ]
    )


KINDS: list[tuple[Callable[[random.Random], Typo], int]] = [
    (key, 20),
    (wrong_type, 8),
    (enumeration, 7),
    (variable, 4),
    (duplicate, 4),
    (url, 4),
    (out_of_bounds, 5),
    (open_secret, 1),
    (secret_file, 2),
    (layout, 5),
]


def typos() -> list[Typo]:
    rng = random.Random(20_261_101)
    made = [kind(rng) for kind, count in KINDS for _ in range(count)]
    for number, typo in enumerate(made):
        typo.name = f"typo-{number:02}"
    return made


def written(typo: Typo, folder: Path) -> Path:
    file = folder / "cascadia.yaml"
    file.write_text(typo.text)
    file.chmod(typo.mode)
    for name, (text, mode) in typo.extra.items():
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    return file


def test_the_file_without_typos_is_good(tmp_path):
    file = tmp_path / "cascadia.yaml"
    file.write_text(GOOD)
    file.chmod(0o600)
    assert load(file, ENVIRON).config.engines[0].name == "tiny"


def test_there_are_sixty():
    assert len(typos()) == 60


@pytest.mark.parametrize("typo", typos(), ids=lambda typo: typo.name)
def test_a_typo_is_refused_at_its_place_with_the_next_command_last(typo, tmp_path, capsys, monkeypatch):
    file = written(typo, tmp_path)
    for name in [name for name in __import__("os").environ if name.startswith("CASCADIA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UPSTREAM_KEY", ENVIRON["UPSTREAM_KEY"])
    code = run(["check", "--config", str(file)], ENVIRON)
    shown = capsys.readouterr()
    assert code == 78
    assert shown.out == ""
    assert "Traceback" not in shown.err
    lines = [
        int(found)
        for found in re.findall(rf"^{re.escape(str(file))}:(\d+):\d+: CFG\d\d\d ", shown.err, re.MULTILINE)
    ]
    # A quote or bracket left open is noticed where the text cannot go on, at the end or on a line below.
    assert lines
    assert typo.line in lines or (
        typo.meant in {"quote", "colon", "indentation"} and min(lines) >= typo.line - 1
    )
    assert shown.err.rstrip("\n").splitlines()[-1].startswith("next: ")
    assert "sk-written-here" not in shown.err


def test_nine_of_ten_typos_are_told_what_was_meant(tmp_path):
    known = [typo for typo in typos() if typo.meant is not None]
    right = 0
    for typo in known:
        with pytest.raises(ConfigErrors) as refused:
            load(written(typo, tmp_path), ENVIRON)
        hints = [problem.hint or "" for problem in refused.value.problems]
        right += any(typo.meant in hint for hint in hints)
    assert len(known) >= 50
    assert right >= 0.9 * len(known)
