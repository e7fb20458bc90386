"""A scenario's file, and the traces that it names. All that is wrong is told at once, with file and line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from pydantic import BaseModel, ValidationError

from config import complaints, document
from config.document import Document
from config.problems import ConfigErrors, ConfigProblem
from config.shape import KeyPath
from simulation.capacity.scenario import Scenario
from simulation.capacity.trace import TraceLine

MOST_LINES = 2_000_000
_MOST_TOLD = 5
"""Wrong lines of one trace that are told."""


@dataclass(frozen=True, slots=True)
class Script:
    """A scenario and the lines of its traces, by workload."""

    scenario: Scenario
    traces: dict[str, Sequence[TraceLine]]


def read(path: Path, changes: dict[str, object] | None = None) -> Script:
    """Read the scenario at `path`; `changes` replace values at its top level. Raises `ConfigErrors`."""
    parsed = document.read(path, str(path), {})
    problems = list(parsed.problems)
    scenario: Scenario | None = None
    if not problems:
        try:
            scenario = Scenario.model_validate({**parsed.data, **(changes or {})})
        except ValidationError as error:
            problems += _problems(error, parsed)
    traces: dict[str, Sequence[TraceLine]] = {}
    if scenario is not None:
        problems += _variants(scenario, parsed)
        for number, workload in enumerate(scenario.workloads):
            if workload.arrivals.trace is not None:
                place = _where(("workloads", number, "arrivals", "trace"), parsed)
                traces[workload.name], wrong = _trace(path.parent / workload.arrivals.trace, place)
                problems += wrong
    if scenario is None or problems:
        raise ConfigErrors(problems, next_command=f"cascadia simulate {path}", of="scenario")
    return Script(scenario, traces)


def _variants(scenario: Scenario, parsed: Document) -> list[ConfigProblem]:
    """What is wrong with a variant's gateway only once it is laid over the scenario's."""
    problems = []
    for number, variant in enumerate(scenario.variants()):
        try:
            scenario.configuration(variant)
        except ValidationError as error:
            below: KeyPath = ("compare", number, "gateway") if scenario.compare else ("gateway",)
            problems += _problems(error, parsed, below)
    return problems


def _problems(error: ValidationError, parsed: Document, below: KeyPath = ()) -> list[ConfigProblem]:
    return [
        complaints.problem_of(
            {**detail, "loc": (*below, *detail["loc"])},
            _where(
                (*below, *complaints.path_of(detail)), parsed, is_about_key=complaints.is_about_key(detail)
            ),
            Scenario,
        )
        for detail in error.errors(include_url=False)
    ]


def _where(path: KeyPath, parsed: Document, *, is_about_key: bool = False) -> str:
    """The place in the file that is nearest to `path`."""
    for length in range(len(path), 0, -1):
        found = parsed.keys.get(path[:length]) if is_about_key else parsed.values.get(path[:length])
        if found:
            return found
    return f"{parsed.name}:1:1"


def _trace(path: Path, place: str) -> tuple[list[TraceLine], list[ConfigProblem]]:
    lines: list[TraceLine] = []
    problems: list[ConfigProblem] = []
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                if number > MOST_LINES:
                    problems.append(_wrong(place, f"{path} has more than {MOST_LINES} lines"))
                    break
                found = _line(text, f"{path}:{number}:1")
                if isinstance(found, TraceLine):
                    lines.append(found)
                else:
                    problems += found
                    if len(problems) >= _MOST_TOLD:
                        break
    except OSError as error:
        problems.append(_wrong(place, f"cannot read {path}: {(error.strerror or str(error)).lower()}"))
    if not lines and not problems:
        problems.append(_wrong(place, f"{path} has no lines"))
    return lines, problems


def _line(text: bytes, where: str) -> TraceLine | list[ConfigProblem]:
    try:
        return TraceLine.model_validate(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        return [_wrong(where, f"not JSON: {error}")]
    except ValidationError as error:
        root: type[BaseModel] = TraceLine
        return [complaints.problem_of(detail, where, root) for detail in error.errors(include_url=False)]


def _wrong(where: str, what: str) -> ConfigProblem:
    return ConfigProblem(
        "CFG006",
        where,
        what,
        "a trace has one JSON object a line, each with the second it came at",
        hint='for example {"at": 1.5, "prompt": 300, "output": 120}',
    )
