"""The product under two witnesses of who calls whom, and the real engine in it, shared by all tests that only ask.

The product runs in a network of its own in which the kernel counts every attempt to get out, whoever makes it; and each
of its Python processes has a hook that writes attempts down with their addresses. Where a user may not make a network,
the hook alone is the witness.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support import isolation
from tests.support.product import Product, up

AUDIT = Path(__file__).parent / "outbound_audit"


@dataclass(frozen=True, slots=True)
class Watched:
    """A product that runs under the witnesses."""

    product: Product
    log: Path
    is_isolated: bool

    @property
    def seen(self) -> str:
        """What the witnesses have seen: nothing, or who called whom."""
        counted = isolation.attempts(self.product.process.pid) if self.is_isolated else {}
        return "".join([*map(str, counted.items()), self.log.read_text() if self.log.exists() else ""])

    @property
    def witnesses(self) -> str:
        """Who watched, in words."""
        if self.is_isolated:
            return "counted by the kernel and by the interpreters"
        return "counted by the interpreters alone"


def audited(log: Path) -> dict[str, str]:
    """The environment in which a Python process writes its attempts to `log`."""
    return {"PYTHONPATH": str(AUDIT), "OUTBOUND_AUDIT_FILE": str(log)}


@contextmanager
def watched(
    folder: Path,
    before: Sequence[str],
    group: str,
    *,
    variables: Mapping[str, str] = MappingProxyType({}),
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[Watched]:
    """Run the product, ready, on an engine group called tiny.

    `group` is more of the group's configuration, as YAML lines; `variables` are for the engine's environment.
    It listens on a unix socket, which can be reached from every network.
    """
    log = folder / "audit"
    config = folder / "cascadia.yaml"
    env = json.dumps({**audited(log), **variables})  # JSON is YAML
    config.write_text(f"engines:\n- name: tiny\n{group}  env: {env}\n")
    options = ("--config", str(config), "--listen", f"unix:{folder}/s")
    with up(folder / "d", *options, environment=audited(log), before=tuple(before)) as product:
        product.wait_until_ready(say)
        yield Watched(product, log, is_isolated=bool(before))


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Write a line to whoever watches the tests."""
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def write(line: str) -> None:
        with capture.global_and_fixture_disabled():
            terminal.write_line(f"  {line}")

    return write


@pytest.fixture(scope="session")
def isolate() -> tuple[str, ...]:
    """What to put in front of a command to give it a network of its own; nothing where that is not allowed."""
    return isolation.ISOLATE if isolation.is_possible() else ()


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """A folder whose name leaves room for a socket in it: a socket's path has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="cascadia-"))
    yield folder
    shutil.rmtree(folder)
