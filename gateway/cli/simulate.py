"""`cascadia simulate`: what engines can carry, and how the gateway shares it, without any engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, NoColor, Quiet
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from simulation.capacity.figures import Figures
    from simulation.capacity.scenario import Scenario

app = typer.Typer(**APP)

ScenarioFile = Annotated[
    Path, typer.Argument(metavar="SCENARIO", help="YAML file of the scenario.", show_default=False)
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed than the file's.", show_default=False)]
Duration = Annotated[
    float | None,
    typer.Option(min=1, help="Virtual seconds of load, instead of the file's.", show_default=False),
]


@app.command(epilog="Example: cascadia simulate config/scenarios/overload.yaml")
def simulate(
    scenario: ScenarioFile,
    seed: Seed = None,
    duration: Duration = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> int:
    """Play a scenario of load on modelled engines behind the real gateway, in virtual time.

    The same scenario gives the same numbers to the last digit. Every number is simulated: it is as good as the speed
    that the scenario gives its engines.
    """
    from simulation.capacity.play import play
    from simulation.capacity.reading import read

    voice = Voice(quiet=quiet, no_color=no_color)
    if not scenario.is_file():
        raise Failure(
            f"there is no file {scenario}",
            fix="name a scenario; the manual has one to begin with",
            next_command="cascadia simulate --help",
            code=ExitCode.CONFIG,
        )
    changes: dict[str, object] = {
        name: value for name, value in (("seed", seed), ("duration", duration)) if value is not None
    }
    script = read(scenario, changes)
    played = play(script.scenario, script.traces, voice.say)
    if as_json:
        print_json(
            simulated=True,
            scenario=str(scenario),
            seed=script.scenario.seed,
            duration=script.scenario.duration,
            runs=[each.as_json() for each in played],
        )
    else:
        _tell(voice, script.scenario, played)
    return ExitCode.OK


def _tell(voice: Voice, scenario: Scenario, played: list[Figures]) -> None:
    from simulation.capacity.table import whole_rows, workload_heading, workload_rows

    engines = scenario.engines
    voice.tell(
        f"Simulated, not measured: {engines.count} engines of {engines.profile or 'the scenario'}, "
        f"{scenario.duration - scenario.warmup:g} virtual seconds counted, seed {scenario.seed}"
    )
    if scenario.about:
        voice.tell(scenario.about)
    names = [each.name for each in played]
    voice.table(["", *names], whole_rows(played), numbers=names)
    heading = workload_heading()
    voice.table(heading, workload_rows(played), numbers=heading[2:])
