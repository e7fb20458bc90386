"""`cascadia models`: which models can be called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure
from gateway.cli.options import APP, AsJson, ConfigFile, DataDir, NoColor
from gateway.cli.output import Voice, print_json

if TYPE_CHECKING:
    from gateway.cli.setting import Setting

app = typer.Typer(**APP)

_TIMEOUT_S = 5.0


@app.command(epilog="Example: cascadia models --url http://gpu-server:8000 --key-file ~/.cascadia-key")
def models(
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Gateway to ask. Default: the one on the data folder.",
            show_default=False,
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="File with the API key. Default: $CASCADIA_API_KEY.",
            show_default=False,
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    no_color: NoColor = False,
) -> int:
    """List the models that can be called.

    With an API key ($CASCADIA_API_KEY or --key-file) a running gateway is asked what this key may use. Without one the
    configuration and the workers of this machine are shown.
    """
    from gateway.cli.setting import load_setting

    voice = Voice(no_color=no_color)
    setting = load_setting(config, data_dir, voice)
    key = _key(key_file)
    if key is not None or url is not None or setting.config.auth.mode == "anonymous":
        rows = _asked(url or _running(setting), key)
    else:
        rows = _known(setting)
    if as_json:
        print_json(models=rows)
    elif rows:
        voice.table(["MODEL", "STATE", "FROM"], [[row["id"], row["state"], row["from"]] for row in rows])
    else:
        voice.say("No model is known. Start one with: cascadia up")
    return ExitCode.OK


def _key(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("CASCADIA_API_KEY") or None
    from config import secret_files

    try:
        return secret_files.read(file, os.environ)
    except secret_files.SecretFileError as error:
        raise Failure(
            f"{file}: {error}", fix="make it a file of mode 0600", next_command=f"chmod 600 {file}"
        ) from error


def _running(setting: Setting) -> str:
    from gateway.cli.instance import read_record

    record = read_record(setting.paths.run, "gateway")
    if record is None or not record.url:
        raise Failure(
            f"no gateway runs on the data folder {setting.paths.data}",
            fix="start one, or name one with --url",
            next_command="cascadia up",
            code=ExitCode.UNREACHABLE,
        )
    return record.url


def _asked(url: str, key: str | None) -> list[dict[str, Any]]:
    """What the gateway at `url` lists for this key."""
    import httpx

    from gateway.cli.address import open_client

    try:
        with open_client(url.removesuffix("/").removesuffix("/v1"), timeout=_TIMEOUT_S) as client:
            answer = client.get("/v1/models", headers={"authorization": f"Bearer {key}"} if key else {})
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failure(
            f"{url} does not answer: {str(error) or type(error).__name__}",
            fix="check that the gateway runs there",
            next_command="cascadia status",
            code=ExitCode.UNREACHABLE,
        ) from error
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        raise Failure(
            f"{url} does not accept the API key" if key else f"{url} asks for an API key",
            fix="put a valid key into CASCADIA_API_KEY or a file named with --key-file",
            next_command="cascadia keys create NAME",
        )
    return _listed(url, answer)


def _listed(url: str, answer: Any) -> list[dict[str, Any]]:
    try:
        data = answer.raise_for_status().json()["data"]
        return [{"id": str(model["id"]), "state": "callable", "from": url} for model in data]
    except (ValueError, KeyError, TypeError, OSError, _http_error()) as error:
        raise Failure(
            f"{url} is no gateway: /v1/models answered {answer.status_code} and no model list",
            fix="give the gateway's own address",
            next_command="cascadia status",
            code=ExitCode.UNREACHABLE,
        ) from error


def _http_error() -> type[Exception]:
    import httpx

    return httpx.HTTPError


def _known(setting: Setting) -> list[dict[str, Any]]:
    """What the configuration names, with the state of this machine's workers."""
    from gateway.cli.workers import published

    roster = published(setting.paths)
    by_group: dict[str, list[str]] = {}
    for worker in roster.workers if roster else ():
        by_group.setdefault(worker.group, []).append(worker.status.value)
    rows = []
    for group in setting.config.engines:
        states = by_group.get(group.name, [])
        state = "ready" if "ready" in states else states[0] if states else "not running"
        rows += [
            {"id": name, "state": state, "from": f"engines: {group.name}"}
            for name in group.serve_as or (group.name,)
        ]
    for upstream in setting.config.upstreams:
        source = f"upstream: {upstream.name or upstream.url}"
        rows += [
            {"id": name, "state": "unknown", "from": source}
            for name in upstream.models or ("(what it lists)",)
        ]
    return rows
