"""Makes an engine environment, or finds that it is there: the one verb of this package."""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path

from engines.environment.device import choose_device
from engines.environment.errors import InstallerFailed
from engines.environment.installers import Installer, Plan, Step, pip_steps, uv_steps
from engines.environment.interpreter import (
    Interpreter,
    ask_interpreter,
    check_supported,
    running_interpreter,
)
from engines.environment.progress import Progress, Say, describe_installing, last_lines
from engines.environment.record import Environment, describe, record_complete, record_incomplete
from engines.environment.sources import TORCH_CPU_INDEX, pip_sources, uv_sources
from engines.environment.target import CHECK, LOCK, LOG, check_room, check_unused, claim, clear, hold
from engines.environment.world import World

_SHOWN_LINES = 12
_CHECK = (
    "import importlib.metadata as m, json, torch;"
    "print(json.dumps([torch.__version__, {d.metadata['Name']: d.version for d in m.distributions()}]))"
)


def install(
    target: Path,
    *,
    device: str = "auto",
    installer: str = "auto",
    python: str | None = None,
    torch_index: str | None = None,
    say: Say = lambda _line: None,
    world: World | None = None,
) -> Environment:
    """Return the complete engine environment in ``target``, installing it first unless it is already the one.

    ``device`` is auto, cpu or gpu; ``installer`` is auto, uv or pip; ``python`` is the interpreter to build on
    (default: the running one); ``torch_index`` overrides where PyTorch for CPUs comes from. ``say`` gets a line
    at least every two seconds. Safe to call from several processes at once: one works, the others wait for it.
    Raises InstallError (what, why, next step); then the target is marked incomplete and a later call starts afresh.
    """
    installation = _Installation(target, world or World(), say, device, python)
    return installation.present() or installation.make(installer, torch_index)


class _Installation:
    """One call of `install`: what is wanted, decided once, and where."""

    def __init__(self, target: Path, world: World, say: Say, device: str, python: str | None) -> None:
        self.root = Path(os.path.abspath(target))  # noqa: PTH100 - keeps a link that the operator chose
        self.world = world
        self.progress = Progress(say, world.clock)
        self.interpreter: Interpreter = ask_interpreter(python) if python else running_interpreter()
        check_supported(self.interpreter, world.machine)
        self.requirements = world.requirements[choose_device(device, world.has_nvidia_gpu)]
        self.fingerprint = self.requirements.fingerprint(self.interpreter, world.machine.processor)

    @cached_property
    def wanted(self) -> dict[str, str]:
        """Every distribution and its exact version; not needed, hence not read, where all is there already."""
        return self.requirements.wanted(self.interpreter, self.world.machine.processor)

    @property
    def log(self) -> Path:
        return self.root / LOG

    def present(self) -> Environment | None:
        """Return the environment when it is complete and made from this very list."""
        environment = describe(self.root)
        return environment if environment and environment.fingerprint == self.fingerprint else None

    def make(self, installer: str, torch_index: str | None) -> Environment:
        claim(self.root)
        self.progress.stage(f"preparing {self.root} for {self.requirements.device.value}")
        with hold(self.root, self._waiting, self.world.sleep) as lock:
            return self.present() or self._make_alone(installer, torch_index, lock)

    def _waiting(self) -> None:
        self.progress.tick(
            lambda: f"waiting for another installation to end: fuser {self.root / LOCK} names it"
        )

    def _make_alone(self, installer: str, torch_index: str | None, lock: int) -> Environment:
        plan, steps = self._choose(installer, torch_index)
        check_unused(self.root)
        record_incomplete(self.root)
        clear(self.root)
        check_room(self.root, self.requirements.disk_bytes, self.world.free_bytes)
        for step in steps(plan):
            self._run(plan, step, lock)
        environment = self._check(plan, lock)
        record_complete(environment)
        self.progress.done(
            f"{environment.engine} {environment.version} for {environment.device.value} installed "
            f"in {self.progress.elapsed:.0f} s"
        )
        return environment

    def _choose(self, installer: str, torch_index: str | None) -> tuple[Plan, Installer]:
        uv = None if installer == "pip" else self.world.find_uv(self.world.environ)
        if installer == "uv" and uv is None:
            raise InstallerFailed(
                "uv was asked for and is not here",
                "it is not on PATH",
                "pip install uv, or use --installer pip",
            )
        sources = pip_sources(self.world.environ) if uv is None else uv_sources(self.world.environ)
        plan = Plan(self.root, self.interpreter, self.requirements, sources, self.world.environ, torch_index)
        return plan, pip_steps if uv is None else uv_steps(uv)

    def _run(self, plan: Plan, step: Step, lock: int) -> None:
        self.progress.stage(step.stage)
        site_packages = self._site_packages()

        def detail() -> str:
            return describe_installing(self.log, site_packages, len(self.wanted)) if step.fetches else ""

        try:
            code = self.world.run(
                step.argv, step.environment, self.log, lambda: self.progress.tick(detail), lock
            )
        except OSError as error:
            raise InstallerFailed(
                f"{step.stage} failed", str(error), "check that the program named exists"
            ) from error
        if code != 0 and not step.may_fail:
            raise self._failed(plan, step, code)

    def _failed(self, plan: Plan, step: Step, code: int) -> InstallerFailed:
        lines = "\n        ".join(last_lines(self.log, _SHOWN_LINES))
        why = f"{Path(step.argv[0]).name} ended with exit code {code}:\n        {lines}"
        return InstallerFailed(f"{step.stage} failed", why, f"{_advice(plan, step)}; full log: {self.log}")

    def _site_packages(self) -> Path:
        return self.root / "lib" / f"python{self.interpreter.minor}" / "site-packages"

    def _check(self, plan: Plan, lock: int) -> Environment:
        """Import PyTorch with the new Python and compare every version with the list."""
        self.progress.stage("checking the installation")
        answer = self.root / CHECK
        argv = (plan.python, "-I", "-c", _CHECK)
        code = self.world.run(argv, plan.environment(), answer, lambda: self.progress.tick(lambda: ""), lock)
        if code != 0:
            raise self._check_failed(last_lines(answer, _SHOWN_LINES))
        torch, installed = json.loads(answer.read_text(encoding="utf-8").splitlines()[-1])
        there = {_normalised(name): version for name, version in installed.items()} | {"torch": torch}
        wrong = [
            f"{n}=={v} (found {there.get(n)})" for n, v in self.wanted.items() if not _fits(v, there.get(n))
        ]
        if wrong:
            raise self._check_failed(
                [f"{len(wrong)} distributions are not as listed: {', '.join(wrong[:5])}"]
            )
        return Environment(
            root=self.root,
            device=self.requirements.device,
            engine=self.requirements.engine,
            version=self.wanted[self.requirements.engine],
            python_version=".".join(map(str, self.interpreter.version)),
            distributions=len(self.wanted),
            fingerprint=self.fingerprint,
        )

    def _check_failed(self, lines: list[str]) -> InstallerFailed:
        return InstallerFailed(
            "the new engine environment does not work",
            "\n        ".join(lines),
            f"run the same command again; full log: {self.root / CHECK}",
        )


def _advice(plan: Plan, step: Step) -> str:
    """Say what most likely helps, from what the operator has and has not set."""
    if (
        plan.requirements.torch is not None
        and str(plan.requirements.torch) in step.argv
        and plan.sources.are_set
    ):
        names = ", ".join(plan.sources.names)
        return (
            f"only your own package sources were asked for PyTorch ({names}); "
            f"to take it from its makers add --torch-index {TORCH_CPU_INDEX}"
        )
    return "check the network and proxy settings, then run the same command again"


def _normalised(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _fits(wanted: str, found: str | None) -> bool:
    """Tell whether a version is the wanted one. PyTorch's CUDA build calls itself 2.13.0+cu130 when imported."""
    return found == wanted or (found is not None and found.startswith(f"{wanted}+cu"))
