"""`cascadia simulate`, as a person sees it."""

from pathlib import Path

SCENARIO = """\
about: A little of everything
duration: 20.0
warmup: 5.0
engines: {count: 2, profile: h100-8b}
workloads:
  - name: chat
    arrivals: {poisson: {rate: 5.0}}
    prompt: {fixed: 100}
    output: {fixed: 20}
compare:
  - {name: least, gateway: {admission: {policy: least_requests}}}
  - {name: turn, gateway: {admission: {policy: round_robin}}}
"""


def test_a_scenario_is_told_as_tables_that_say_they_are_simulated(cascadia):
    Path("s.yaml").write_text(SCENARIO)
    called = cascadia("simulate", "s.yaml")
    assert called.code == 0
    first, about, heading, _, *rows = called.out.splitlines()
    assert first.startswith(
        "Simulated, not measured: 2 engines of h100-8b, 15 virtual seconds counted, seed 1"
    )
    assert about == "A little of everything"
    assert heading.split() == ["least", "turn"]
    assert any(row.startswith("first token p95, ms") and "(x1.0" in row for row in rows)
    assert cascadia("simulate", "s.yaml").out == called.out


def test_a_scenario_as_json(cascadia):
    Path("s.yaml").write_text(SCENARIO)
    found = cascadia("simulate", "s.yaml", "--json", "--seed", "7", "--duration", "30").json
    assert (found["simulated"], found["seed"], found["duration"]) == (True, 7, 30.0)
    assert [run["name"] for run in found["runs"]] == ["least", "turn"]
    for run in found["runs"]:
        assert run["figures"]["sent"] == run["workloads"]["chat"]["sent"] > 0
        assert set(run["engines"]) == {"engine-0", "engine-1"}


def test_a_wrong_scenario_ends_with_the_code_of_a_wrong_configuration(cascadia):
    Path("s.yaml").write_text(SCENARIO.replace("count", "cuont"))
    called = cascadia("simulate", "s.yaml")
    assert (called.code, called.last) == (78, "next: cascadia simulate s.yaml")
    assert "did you mean 'count'?" in called.err


def test_a_scenario_that_is_not_there(cascadia):
    called = cascadia("simulate", "none.yaml")
    assert called.code == 78
    assert "there is no file none.yaml" in called.err
