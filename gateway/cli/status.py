"""`cascadia status`: what runs on this data folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from config.paths import Paths
    from engines.roster import WorkerRecord

app = typer.Typer(**APP)

_TIMEOUT_S = 2.0
_LAST_LINES = 5


@app.command(epilog="Example: cascadia status --json")
def status(
    config: ConfigFile = None, data_dir: DataDir = None, as_json: AsJson = False, no_color: NoColor = False
) -> int:
    """Show the gateway and the engine workers of this data folder, and why one is not ready.

    Ends with 69 when neither runs.
    """
    from gateway.cli.setting import load_setting
    from gateway.cli.workers import published

    voice = Voice(no_color=no_color)
    paths = load_setting(config, data_dir, voice).paths
    gateway, roster = _gateway(paths), published(paths)
    if gateway is None and roster is None:
        raise Failure(
            f"nothing runs on the data folder {paths.data}",
            fix="start it, or name its folder with --data-dir or --config",
            next_command="cascadia up",
            code=ExitCode.UNREACHABLE,
        )
    workers = roster.workers if roster else ()
    if as_json:
        engines = {"pid": roster.pid, "workers": [_as_json(worker) for worker in workers]} if roster else None
        print_json(gateway=gateway, engines=engines)
        return ExitCode.OK
    _tell(voice, gateway, workers)
    return ExitCode.OK


def _gateway(paths: Paths) -> dict[str, Any] | None:
    """What is known of the gateway: its record, and what it answers itself."""
    from gateway.cli.instance import read_record

    record = read_record(paths.run, "gateway")
    if record is None:
        return None
    state, detail = _readiness(record.admin_url) if record.admin_url else ("starting", None)
    return {
        "pid": record.pid,
        "url": record.url,
        "admin_url": record.admin_url,
        "state": state,
        "detail": detail,
    }


def _readiness(admin_url: str) -> tuple[str, Any]:
    import httpx

    from gateway.cli.address import open_client

    try:
        with open_client(admin_url, timeout=_TIMEOUT_S) as client:
            answer = client.get("/readyz")
    except httpx.HTTPError as error:
        return "failed", f"does not answer: {type(error).__name__}"
    try:
        detail = answer.json()
    except ValueError:
        detail = answer.text[:200]
    return ("ready" if answer.is_success else "waiting"), detail


def _as_json(worker: WorkerRecord) -> dict[str, Any]:
    """A worker without its key."""
    return {
        "id": worker.id,
        "group": worker.group,
        "models": sorted(worker.models),
        "status": worker.status.value,
        "phase": worker.phase,
        "since": worker.since,
        "pid": worker.pid,
        "restarts": worker.restarts,
        "last_error": worker.last_error,
        "log_tail": list(worker.log_tail),
    }


def _tell_limits(voice: Voice, detail: Any) -> None:
    """Where limits are counted, if several gateways count together."""
    limits = detail.get("limits", {}) if isinstance(detail, dict) else {}
    if limits.get("store") != "valkey":
        return
    gateways = f"{limits['gateways']} gateway{'' if limits['gateways'] == 1 else 's'}"
    if limits["counted"] == "together":
        voice.tell(f"limits   counted in the server for {gateways}")
    else:
        voice.tell(f"limits   counted alone, as one of {gateways}: {limits['trouble']}")


def _tell(voice: Voice, gateway: dict[str, Any] | None, workers: tuple[WorkerRecord, ...]) -> None:
    if gateway is None:
        voice.tell("gateway  not running; start it with: cascadia gateway")
    else:
        voice.tell(f"gateway  {gateway['state']}  {gateway['url']}  process {gateway['pid']}")
        _tell_limits(voice, gateway["detail"])
    if not workers:
        return
    now = time.time()
    rows = [
        [
            w.id,
            ", ".join(w.models),
            w.status.value,
            w.phase,
            f"{now - w.since:.0f} s",
            str(w.restarts),
            str(w.pid or "-"),
        ]
        for w in workers
    ]
    voice.table(
        ["WORKER", "MODELS", "STATE", "PHASE", "SINCE", "RESTARTS", "PID"],
        rows,
        numbers=["SINCE", "RESTARTS", "PID"],
    )
    for worker in workers:
        if worker.last_error:
            voice.tell(f"{worker.id}: {worker.last_error}")
            for line in worker.log_tail[-_LAST_LINES:]:
                voice.tell(f"    {line}")
