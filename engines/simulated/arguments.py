"""The command line: vLLM's flags, of which those that change what a stand-in does are read and the rest ignored.

A flag that vLLM does not know ends the start with exit code 2, as there. Flags of the simulation begin with `--sim-`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from engines.simulated.options import Options
from engines.simulated.script import Script

DEFAULT_PORT = 8000
_NARGS = {"one": None, "some": "+", "any": "?"}
_UNITS = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class Start:
    """Everything that a process is started with. Times in seconds."""

    options: Options
    script: Script
    uds: str | None
    host: str
    port: int
    start_seconds: float
    exit_seconds: float
    children: int


def parse(argv: Sequence[str], environment: Mapping[str, str]) -> Start:
    """Read the command line. Prints to stderr and raises `SystemExit(2)` when vLLM would."""
    parser = _parser()
    told = parser.parse_args([_dashed(argument) for argument in argv])
    keys = tuple(told.api_key or filter(None, [environment.get("VLLM_API_KEY")]))
    keep_alive = float(environment.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "5"))
    options = Options(
        model=told.model_tag or told.model,
        served_names=tuple(told.served_model_name or ()),
        api_keys=keys,
        max_model_len=told.max_model_len,
        max_num_seqs=told.max_num_seqs,
        max_num_queued_reqs=told.max_num_queued_reqs,
        shutdown_timeout=told.shutdown_timeout,
        keep_alive=keep_alive,
        has_parser=bool(told.tool_call_parser or told.reasoning_parser),
        auto_tool_choice=bool(told.enable_auto_tool_choice and told.tool_call_parser),
        force_include_usage=told.enable_force_include_usage,
        echo_request_id=told.enable_request_id_headers,
        fixed_created=told.sim_created,
        journal_records=told.sim_log_records,
    )
    return Start(
        options=options,
        script=_script(parser, told),
        uds=told.uds,
        host=told.host or "0.0.0.0",  # noqa: S104 vLLM's default
        port=told.port,
        start_seconds=told.sim_start_seconds,
        exit_seconds=told.sim_exit_seconds,
        children=told.sim_children,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="engines.simulated", allow_abbrev=False, description=__doc__)
    parser.add_argument("model_tag", nargs="?", help="the model, like --model")
    _add_read_flags(parser)
    _add_simulation_flags(parser)
    read = set(parser._option_string_actions)  # noqa: SLF001 argparse tells its flags nowhere else
    for takes, names in _known_flags():
        new = [name for name in names if name not in read]
        if new and takes == "none":
            negated = [f"--no-{name[2:]}" for name in new if name.startswith("--")]
            parser.add_argument(*new, *negated, action="store_true", help=argparse.SUPPRESS, dest="ignored")
        elif new:
            parser.add_argument(*new, nargs=_NARGS[takes], help=argparse.SUPPRESS, dest="ignored")
    return parser


def _add_read_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="simulated")
    parser.add_argument("--served-model-name", nargs="+")
    parser.add_argument("--uds")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--api-key", nargs="+")
    parser.add_argument("--max-model-len", type=_size, default=Options().max_model_len)
    parser.add_argument("--max-num-seqs", type=int, default=Options().max_num_seqs)
    parser.add_argument("--max-num-queued-reqs", type=int)
    parser.add_argument("--shutdown-timeout", type=float, default=0.0)
    parser.add_argument("--tool-call-parser")
    parser.add_argument("--reasoning-parser")
    for name in ("enable-auto-tool-choice", "enable-force-include-usage", "enable-request-id-headers"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=False)


def _add_simulation_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("simulation")
    for name, meaning in (
        ("ttft-ms", "time to the first token"),
        ("itl-ms", "time between two tokens"),
        ("jitter", "share by which these two vary, 0 to 1"),
        ("multibyte", "share of the words that are not ASCII, 0 to 1"),
    ):
        group.add_argument(f"--sim-{name}", type=float, help=meaning)
    group.add_argument("--sim-tokens", type=int, help="length of an answer that nothing else ends")
    group.add_argument("--sim-tokens-per-chunk", type=int, help="tokens in one event of a stream")
    group.add_argument("--sim-seed", type=int, help="seed of everything random")
    group.add_argument("--sim-script", help="a script as JSON, or the path of a file with one")
    group.add_argument("--sim-created", type=int, help="Unix time to report as created, for equal bytes")
    group.add_argument(
        "--sim-log-records", type=int, default=Options().journal_records, help="requests kept in the log"
    )
    group.add_argument("--sim-start-seconds", type=float, default=0.0, help="how long the start takes")
    group.add_argument("--sim-exit-seconds", type=float, default=0.0, help="how long the exit lingers")
    group.add_argument("--sim-children", type=int, default=0, help="processes like EngineCore to start")


def _script(parser: argparse.ArgumentParser, told: argparse.Namespace) -> Script:
    changes: dict[str, Any] = {}
    if told.sim_script is not None:
        text = told.sim_script
        try:
            changes = msgspec.json.decode(text if text.lstrip().startswith("{") else Path(text).read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            _end(parser, f"argument --sim-script: {error}")
    for name in ("ttft_ms", "itl_ms", "jitter", "multibyte", "tokens", "tokens_per_chunk", "seed"):
        value = getattr(told, f"sim_{name}")
        if value is not None:
            changes[name] = value
    try:
        return Script().changed(changes)
    except msgspec.ValidationError as error:
        _end(parser, f"argument --sim-script: {error}")


def _end(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.error(message)


def _known_flags() -> list[tuple[str, list[str]]]:
    text = Path(__file__).with_name("flags.txt").read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return [(takes, names) for takes, *names in lines]


def _dashed(argument: str) -> str:
    """Spell a long flag with dashes: vLLM takes underscores as well."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value


def _size(text: str) -> int:
    """Read a number that may end in a unit: 1k is 1000, 1K is 1024. Raises `ValueError`."""
    unit = _UNITS.get(text[-1:])
    return int(text) if unit is None else int(float(text[:-1]) * unit)
