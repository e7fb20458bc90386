"""Asking the admin listener of the gateway that runs on a data folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure

if TYPE_CHECKING:
    import httpx

    from config.paths import Paths

TOKEN_VARIABLE = "CASCADIA_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
_TIMEOUT_S = 10.0

TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="File with the admin token. Default: $CASCADIA_ADMIN_TOKEN, else the first one of the data folder.",
        show_default=False,
    ),
]


def ask(paths: Paths, token_file: Path | None, path: str, params: dict[str, Any]) -> Any:
    """The JSON that the running gateway answers to GET `path`. Raises `Failure`."""
    import httpx

    from gateway.cli.address import open_client
    from gateway.cli.instance import read_record

    record = read_record(paths.run, "gateway")
    if record is None or not record.admin_url:
        raise Failure(
            f"no gateway runs on the data folder {paths.data}",
            fix="start one, or name its folder with --data-dir or --config",
            next_command="cascadia up",
            code=ExitCode.UNREACHABLE,
        )
    headers = {"authorization": f"Bearer {_token(paths, token_file)}"}
    try:
        with open_client(record.admin_url, timeout=_TIMEOUT_S) as client:
            answer = client.get(path, params=params, headers=headers)
    except httpx.HTTPError as error:
        raise Failure(
            f"the gateway at {record.admin_url} does not answer: {type(error).__name__}",
            fix="see what it does",
            next_command="cascadia status",
            code=ExitCode.UNREACHABLE,
        ) from error
    if not answer.is_success:
        raise _refused(answer)
    return answer.json()


def _refused(answer: httpx.Response) -> Failure:
    try:
        message = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"the gateway answered {answer.status_code}"
    unknown = answer.status_code == 404  # noqa: PLR2004 - HTTP's own number
    return Failure(
        message,
        fix="look it up" if unknown else "give a valid token in CASCADIA_ADMIN_TOKEN or with --token-file",
        next_command="cascadia explain" if unknown else "cascadia admin list",
    )


def _token(paths: Paths, file: Path | None) -> str:
    if file is None and os.environ.get(TOKEN_VARIABLE):
        return os.environ[TOKEN_VARIABLE]
    from config import secret_files

    place = file or paths.first_admin_token
    try:
        return secret_files.read(place, os.environ)
    except secret_files.SecretFileError as error:
        raise Failure(
            f"{place}: {error}",
            fix=f"put an admin token into {TOKEN_VARIABLE} or a file named with --token-file",
            next_command="cascadia admin create NAME",
        ) from error
