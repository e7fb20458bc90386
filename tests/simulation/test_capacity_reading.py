"""A scenario's file: what is wrong with it is said with the key, the line and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.problems import ConfigErrors
from simulation.capacity.reading import read

SCENARIOS = sorted((Path(__file__).parents[2] / "config" / "scenarios").glob("*.yaml"))
GOOD = """\
engines: {count: 1, profile: h100-8b}
workloads:
  - name: chat
    arrivals: {poisson: {rate: 1.0}}
    prompt: {fixed: 10}
    output: {fixed: 10}
"""


def complaints(folder: Path, text: str) -> str:
    file = folder / "s.yaml"
    file.write_text(text)
    with pytest.raises(ConfigErrors) as error:
        read(file)
    return error.value.report().replace(f"{folder}/", "")


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.name)
def test_the_scenarios_that_come_with_the_program_can_be_read(file: Path) -> None:
    assert read(file).scenario.about


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("count: 1", "cuont: 1", "s.yaml:1:11: CFG003 unknown key 'cuont' in 'engines'"),
        ("count: 1", "cuont: 1", "did you mean 'count'?"),
        ("count: 1", "count: 0", "s.yaml:1:18: CFG006 'engines.count'"),
        ("rate: 1.0", "rate: fast", "'workloads[0].arrivals.poisson.rate' must be a number"),
        ("{rate: 1.0}", "{}", "'workloads[0].arrivals.poisson': exactly one of these is to be given: rate, load"),
        ("h100-8b", "h100-9b", "'engines.profile': there is no engine of that name: write one of h100-8b"),
        ("name: chat\n    arrivals", "arrivals", "'workloads[0].name' is missing"),
        ("GOOD", "gateway: {admission: {polciy: x}}", "unknown key 'polciy' in 'gateway.admission'"),
        ("GOOD", "duration: 5.0", "warmup is not shorter than duration"),
        ("GOOD", "compare: [{name: a, without: [b]}]", "variant a leaves out b"),
        (
            "GOOD",
            "compare: [{name: a, gateway: {admission: {policy: rond_robin}}}]",
            "did you mean 'round_robin'?",
        ),
        ("poisson: {rate: 1.0}", "trace: none.jsonl", "s.yaml:4:23: CFG006 cannot read none.jsonl: no such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = f"{new}\n{GOOD}" if old == "GOOD" else GOOD.replace(old, new)
    report = complaints(tmp_path, text)
    assert told in report
    assert report.endswith(
        f"nothing was started\nnext: cascadia simulate {tmp_path}/s.yaml".replace(f"{tmp_path}/", "")
    )


def test_a_trace_is_read_beside_its_scenario_and_its_wrong_lines_are_named(tmp_path: Path) -> None:
    text = GOOD.replace("poisson: {rate: 1.0}", "trace: t.jsonl")
    (tmp_path / "t.jsonl").write_text('{"at": 1.5, "prompt": 7}\n\n{"at": 2}\n')
    (tmp_path / "good.yaml").write_text(text)
    traces = read(tmp_path / "good.yaml").traces
    assert [(line.at, line.prompt, line.output) for line in traces["chat"]] == [
        (1.5, 7, None),
        (2.0, None, None),
    ]
    (tmp_path / "t.jsonl").write_text('{"at": 1.5}\n{"at": "soon"}\n{oh\n{"att": 1}\n')
    report = complaints(tmp_path, text)
    assert "t.jsonl:2:1: CFG004 'at' must be a number" in report
    assert "t.jsonl:3:1: CFG006 not JSON" in report
    assert "t.jsonl:4:1: CFG003 unknown key 'att'" in report
