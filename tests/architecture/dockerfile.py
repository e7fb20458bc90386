"""A Dockerfile as stages of instructions: enough of its grammar for ours, and an error for what is not understood."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

_INSTRUCTION = re.compile(r"(?P<word>[A-Z]+)\s+(?P<rest>.+)", re.DOTALL)
_FROM = re.compile(r"(?P<image>\S+)\s+AS\s+(?P<name>[a-z]+)")
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)\}")
_WORDS = frozenset(
    {
        *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"),
        *("RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its lines joined."""

    word: str
    rest: str

    def flags(self) -> dict[str, str]:
        """Its `--name=value` options."""
        words = shlex.split(self.rest)
        return dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)

    def words(self) -> list[str]:
        """Its words without options, as a shell would split them."""
        return [word for word in shlex.split(self.rest) if not word.startswith("--")]

    def listed(self) -> list[str]:
        """Its JSON array, from the first bracket on: the form that needs no shell. Raises `ValueError`."""
        start = self.rest.index("[")
        found = json.loads(self.rest[start:])
        if not all(isinstance(word, str) for word in found):
            raise ValueError(f"not a list of words: {self.rest}")
        return list(found)


@dataclass(slots=True)
class Stage:
    """From one FROM to the next."""

    name: str
    image: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        """The instructions of that word, in order."""
        return [each for each in self.instructions if each.word == word]

    def last(self, word: str) -> Instruction:
        """The one that counts when there are several."""
        return self.all(word)[-1]

    def environment(self) -> dict[str, str]:
        """What its ENV instructions set."""
        words = [word for each in self.all("ENV") for word in each.words()]
        return dict(word.split("=", 1) for word in words)


def instructions(text: str) -> list[Instruction]:
    """Split `text`. Raises `ValueError` at a line that is no instruction we know."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = []
    for line in joined.splitlines():
        match = _INSTRUCTION.fullmatch(line)
        if match is None or match["word"] not in _WORDS:
            raise ValueError(f"not an instruction: {line}")
        found.append(Instruction(match["word"], match["rest"].strip()))
    return found


def stages(path: Path) -> dict[str, Stage]:
    """The stages of the file at `path` by name; a base image given by ARG is put in."""
    found: dict[str, Stage] = {}
    arguments: dict[str, str] = {}
    current: Stage | None = None
    for each in instructions(path.read_text("utf-8")):
        if each.word == "ARG" and current is None:
            name, _, value = each.rest.partition("=")
            arguments[name] = value
        elif each.word == "FROM":
            match = _FROM.fullmatch(each.rest)
            if match is None:
                raise ValueError(f"not `FROM IMAGE AS NAME`: {each.rest}")
            image = _VARIABLE.sub(lambda variable: arguments[variable["name"]], match["image"])
            current = found[match["name"]] = Stage(match["name"], image)
        elif current is not None:
            current.instructions.append(each)
    return found
