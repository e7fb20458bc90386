"""The hot path as machine code, where it was compiled: the same modules, made from the same files by mypyc.

`python -m gateway.native.build` compiles the modules of `MODULES` into the folder `built` beside this file. They are used
in place of the sources as long as those are, byte for byte, what they were made from, and by the Python they were made
for; a source that was edited since is run as it stands. `CASCADIA_NATIVE=0` has the sources run in any case.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from pathlib import Path
from types import ModuleType

GROUP = "cascadia_gateway"
"""What mypyc names the library of all modules after."""
ROOT = Path(__file__).parents[2]
BUILT = Path(__file__).parent / "built"
DIGEST = "digest"
"""The file that says what the library was made from."""
SWITCH = "CASCADIA_NATIVE"

MODULES = (
    "gateway.core.call",
    "gateway.core.errors",
    "gateway.core.outcome",
    "gateway.core.rendezvous",
    "gateway.openai.answer",
    "gateway.openai.envelope",
    "gateway.openai.sse",
    "gateway.openai.tiers",
    "gateway.auth.credential",
    "gateway.ratelimit.account",
    "gateway.ratelimit.counts",
    "gateway.ratelimit.demand",
    "gateway.ratelimit.headers",
    "gateway.ratelimit.limiter",
    "gateway.ratelimit.memory",
    "gateway.ratelimit.reservation",
    "gateway.ledger.frames",
    "gateway.ledger.ledger",
    "gateway.ledger.slate",
    "gateway.explain.record",
    "gateway.explain.recorder",
    "gateway.fleet.catalog",
    "gateway.fleet.outliers",
    "gateway.fleet.pace",
    "gateway.fleet.pool",
    "gateway.fleet.replica",
    "gateway.fleet.routes",
    "gateway.fleet.seen",
    "gateway.balancer.scored",
    "gateway.balancer.trust",
    "gateway.balancer.work",
    "gateway.transport.http1",
    "gateway.admission.admission",
    "gateway.admission.cost",
    "gateway.admission.lease",
    "gateway.admission.orderings.fair",
    "gateway.admission.orderings.fifo",
    "gateway.admission.orderings.piles",
    "gateway.admission.orderings.shares",
    "gateway.admission.queue",
    "gateway.admission.rate",
    "gateway.admission.reserve",
    "gateway.admission.ticket",
    "gateway.admission.watch",
    "gateway.observe.calls",
    "gateway.observe.tally",
    "gateway.proxy.budget",
    "gateway.proxy.endings",
    "gateway.proxy.exchange",
    "gateway.proxy.isolation",
    "gateway.proxy.proxy",
    "gateway.proxy.states",
)
"""What each request goes through. Left out are modules of `msgspec.Struct`s, which mypyc does not make, and subclasses of
classes that are not compiled: their attributes are found faster by the interpreter."""


def source_of(module: str) -> Path:
    """The file of a module."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")


def digest() -> str:
    """What a library made now would be made from: the sources, and the Python it is for. Raises `OSError`."""
    found = hashlib.blake2b(digest_size=16)
    found.update(repr((MODULES, sys.version_info[:3], sysconfig.get_config_var("EXT_SUFFIX"))).encode())
    for module in MODULES:
        source = source_of(module).read_bytes()
        found.update(b"%d\n" % len(source))
        found.update(source)
    return found.hexdigest()


def is_current(built: Path = BUILT) -> bool:
    """Whether there is a library that was made from the sources as they are."""
    try:
        return (built / DIGEST).read_text() == digest()
    except OSError:
        return False


def library_name() -> str:
    """The module that holds the code of all others."""
    return f"{GROUP}__mypyc"


class _Finder(MetaPathFinder):
    """Finds the compiled modules before the import system finds their sources."""

    def __init__(self, built: Path) -> None:
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        self._paths = {
            name: built.joinpath(*name.split(".")).with_suffix(suffix) for name in (*MODULES, library_name())
        }

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to load `fullname`; `None` for what is not compiled."""
        del path, target
        found = self._paths.get(fullname)
        if found is None:
            return None
        return importlib.util.spec_from_file_location(
            fullname, found, loader=ExtensionFileLoader(fullname, str(found))
        )


def use(environment: Mapping[str, str] = os.environ, built: Path = BUILT) -> bool:
    """Have the compiled modules imported from now on, if they may be. Whether they will be."""
    if environment.get(SWITCH) == "0" or not is_current(built):
        return False
    sys.meta_path.insert(0, _Finder(built))
    return True
