"""`cascadia doctor`: what is missing on this machine, and the command that mends it."""

from __future__ import annotations

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor
from gateway.cli.output import Voice, print_json

app = typer.Typer(**APP)


@app.command(epilog="Example: cascadia doctor --json")
def doctor(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, no_color: NoColor = False
) -> int:
    """Look at everything a start needs: versions, configuration, folder, disk, ports, keys, GPUs, engine, models, Redis.

    Each finding is ok, warn or fail, and those that are not ok name the command that mends them. Ends with 3 when one
    fails. Changes nothing.
    """
    from gateway.cli.checks.examine import examine
    from gateway.cli.checks.finding import Level

    voice = Voice(no_color=no_color)
    findings = examine(config, data_dir, voice)
    failed = [finding for finding in findings if finding.level is Level.FAIL]
    if as_json:
        print_json(
            ok=not failed,
            findings=[
                {"name": f.name, "level": f.level.value, "found": f.found, "next": f.next_command}
                for f in findings
            ],
        )
    else:
        for finding in findings:
            voice.state(finding.level.value, f"{finding.name:<16} {finding.found}")
            if finding.next_command:
                voice.tell(f"{'':<22}next: {finding.next_command}")
        voice.tell("")
        voice.tell(
            f"{len(failed)} of {len(findings)} checks failed"
            if failed
            else f"all {len(findings)} checks passed"
        )
        if failed:
            voice.tell(f"next: {failed[0].next_command}")
    return ExitCode.GATE if failed else ExitCode.OK
