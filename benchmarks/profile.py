"""Where a gateway's time goes under load: `python -m benchmarks.profile`.

Runs a gateway as `benchmarks.overhead` does, samples it with py-spy, native frames included, and prints the percentage
of the samples by layer. Another process's stack is read with ptrace: as root, or where the kernel lets one do so.
Exit code 2 when something did not start, 3 when an answer was lost.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from benchmarks.client import Client
from benchmarks.layers import samples, shares, table
from benchmarks.loads import WARM_UP_SECONDS, Measured, closed_loop
from benchmarks.meter import Meter
from benchmarks.placement import allowed_cores, place
from benchmarks.processes import StartError
from benchmarks.requests import chat
from benchmarks.scenarios import ITL_MILLISECONDS, PLAIN_CONNECTIONS, PLAIN_TOKENS, STREAM_TOKENS
from benchmarks.systems import PRODUCT, SYSTEMS, Engines, Running, running, running_engines

GATEWAYS = ("edge", "asgi")
EXIT_NOT_STARTED = 2
EXIT_LOST = 3
LEAST_PERCENT = 0.5
MARGIN_SECONDS = 1.0
"""The load outlasts the sampling by so much: py-spy takes a moment to attach."""


@dataclass(frozen=True, slots=True)
class Load:
    """A load to look at a gateway under, named as its column."""

    name: str
    body_bytes: int
    connections: int
    tokens: int
    stream: bool
    itl_ms: float = 0.0

    @property
    def lasting(self) -> float:
        """Seconds that one exchange takes by the engine's script."""
        return self.tokens * self.itl_ms / 1000


LOADS: tuple[Load, ...] = (
    Load("plain 1 KB", 1024, PLAIN_CONNECTIONS, PLAIN_TOKENS, stream=False),
    Load("plain 16 KB", 16 * 1024, PLAIN_CONNECTIONS, PLAIN_TOKENS, stream=False),
    Load("500 streams", 1024, 500, STREAM_TOKENS, stream=True, itl_ms=ITL_MILLISECONDS),
)


class SpyError(Exception):
    """py-spy did not do its work; the text says why."""


def main(
    system: Annotated[str, typer.Option(help="Which gateway: edge or asgi.")] = PRODUCT,
    seconds: Annotated[int, typer.Option(min=1, help="Seconds to sample each load.")] = 12,
    rate: Annotated[
        int, typer.Option(min=1, help="Samples a second; each stops the gateway for a moment.")
    ] = 50,
    keep: Annotated[Path | None, typer.Option(help="Folder for the stacks, for flame graph tools.")] = None,
) -> None:
    """Show where a gateway's time goes."""
    if system not in GATEWAYS:
        raise typer.BadParameter(f"choose from: {', '.join(GATEWAYS)}")
    try:
        with ExitStack() as stack:
            folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cascadia-bench-")))
            folder.mkdir(parents=True, exist_ok=True)
            found = profile(system, seconds=seconds, rate=rate, folder=folder)
    except (StartError, SpyError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_NOT_STARTED) from None
    for line in told(found):
        print(line)
    raise typer.Exit(EXIT_LOST if any(sampled.lost for sampled in found.values()) else 0)


@dataclass(frozen=True, slots=True)
class Sampled:
    """The stacks of one load, and how many answers it lost."""

    stacks: list[str]
    lost: int


def told(found: Mapping[str, Sampled]) -> Iterator[str]:
    """The table, and what it rests on."""
    yield from table({name: shares(each.stacks) for name, each in found.items()}, least=LEAST_PERCENT)
    yield "Percent of " + ", ".join(
        f"{samples(each.stacks)} samples ({name})" for name, each in found.items()
    )
    if lost := {name: each.lost for name, each in found.items() if each.lost}:
        yield f"Lost or unfinished: {', '.join(f'{count} ({name})' for name, count in lost.items())}"


def profile(system: str, *, seconds: int, rate: int, folder: Path) -> dict[str, Sampled]:
    """Put each load on `system` and sample it; the stacks go to `folder`. Raises `StartError` or `SpyError`."""
    placement = place(allowed_cores(), engines=1)
    with (
        running_engines(1, placement) as engines,
        running(SYSTEMS[system], engines, placement) as gateway,
        ExitStack() as stack,
    ):
        if placement.client is not None:
            former = os.sched_getaffinity(0)
            os.sched_setaffinity(0, placement.client)  # py-spy inherits it
            stack.callback(os.sched_setaffinity, 0, former)
        found = {}
        for load in LOADS:
            file = folder / f"{load.name.replace(' ', '-')}.stacks"
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                measured = runner.run(_loaded(load, gateway, engines, file, seconds=seconds, rate=rate))
            lost = measured.lost.total() + measured.unfinished
            found[load.name] = Sampled(file.read_text().splitlines(), lost)
        return found


async def _loaded(
    load: Load, gateway: Running, engines: Engines, file: Path, *, seconds: int, rate: int
) -> Measured:
    """Load the gateway and sample it meanwhile."""
    if gateway.process is None:
        raise RuntimeError("a gateway is a process")
    request = chat(gateway.key, body_bytes=load.body_bytes, tokens=load.tokens, stream=load.stream)
    await asyncio.to_thread(engines.script, ttft_ms=load.itl_ms, itl_ms=load.itl_ms)
    client = Client(gateway.addresses)
    command = [_spy(), "record", "--native", "--threads", "--full-filenames", "--function"]
    command += ["--format", "raw", "--output", str(file), "--pid", str(gateway.process.pid)]
    command += ["--duration", str(seconds), "--rate", str(rate)]
    sampling = asyncio.create_task(_sample(command, after=load.lasting + WARM_UP_SECONDS))
    try:
        measured = await closed_loop(
            client,
            request,
            Meter(gateway.process, engines.processes),
            count=load.connections,
            seconds=seconds + MARGIN_SECONDS,
            lasting=load.lasting,
        )
        await sampling
    finally:
        sampling.cancel()
        client.close()
    return measured


async def _sample(command: Sequence[str], *, after: float) -> None:
    await asyncio.sleep(after)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise SpyError(said.decode(errors="replace").strip()[-1000:])


def _spy() -> str:
    """The py-spy beside this Python, or one on the PATH. Raises `SpyError`."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("py-spy", path=os.pathsep.join([beside, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise SpyError("py-spy is not installed: it is among the development tools, requirements/dev.txt")
    return found


if __name__ == "__main__":
    typer.run(main)
