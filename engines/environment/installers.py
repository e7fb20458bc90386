"""The commands that fill an engine environment, for uv and for plain pip. Pure: nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engines.environment.interpreter import Interpreter
from engines.environment.requirements import RequirementList
from engines.environment.sources import TORCH_CPU_INDEX, Sources

# They would send packages elsewhere than into the environment, or refuse files that are named without a hash.
_DISTURBING = (
    *(
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_USER",
        "PIP_REQUIRE_HASHES",
        "PIP_NO_BINARY",
        "PIP_REQUIREMENT",
    ),
    *(
        "PIP_CONSTRAINT",
        "UV_CONSTRAINT",
        "UV_OVERRIDE",
        "UV_REQUIRE_HASHES",
        "UV_NO_BINARY",
        "UV_SYSTEM_PYTHON",
    ),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"),
)

# Large parts that the start of an engine does not import, or of which it imports a few modules: half of all
# bytecode. Python compiles what is asked for of them when it is.
_NOT_COMPILED = (
    "/tests?/"
    "|/site-packages/(?:anthropic|dns|mcp|numba|pygments|rich|sentry_sdk|setuptools)/"
    "|/site-packages/numpy/distutils/"
    "|/site-packages/openai/(?:resources|types/beta)/"
    "|/site-packages/sympy/physics/"
    "|/site-packages/torch/(?:testing/_internal|_vendor)/"
    "|/site-packages/transformers/models/(?!auto/)"
    "|/site-packages/vllm/(?:models|model_executor/models|distributed/kv_transfer)/"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command of an installation; ``stage`` is what the operator reads meanwhile.

    ``fetches``: it downloads and unpacks distributions, which can be counted. ``may_fail``: its exit code says
    nothing about the environment.
    """

    stage: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    fetches: bool = False
    may_fail: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the commands depend on. ``torch_index`` is the operator's explicit choice, if there is one."""

    target: Path
    interpreter: Interpreter
    requirements: RequirementList
    sources: Sources
    environ: Mapping[str, str]
    torch_index: str | None = None

    @property
    def python(self) -> str:
        """The environment's own Python."""
        return str(self.target / "bin" / "python")

    def environment(self) -> dict[str, str]:
        """Return the variables of every command: the operator's, without those that would disturb."""
        kept = {key: value for key, value in self.environ.items() if key not in _DISTURBING}
        return kept | dict(self.sources.environment)

    def index_for_torch(self) -> str | None:
        """Return the one index to take PyTorch from; None: from wherever the operator's settings say."""
        if self.torch_index is not None:
            return self.torch_index
        return None if self.sources.are_set else TORCH_CPU_INDEX


Installer = Callable[[Plan], tuple[Step, ...]]
"""Turns a plan into the steps of one tool."""


def uv_steps(uv: str) -> Installer:
    """Return the installer that uses the uv executable at ``uv``."""

    def steps(plan: Plan) -> tuple[Step, ...]:
        install = (
            *(uv, "pip", "install", "--python", plan.python, "--no-deps", "--only-binary", ":all:"),
            # Versions are exact, so the best match is the same wherever it is found. uv's default would stop at the
            # first index that knows a name, and PyTorch's knows old versions of many.
            *("--index-strategy", "unsafe-best-match", "--no-progress", *plan.sources.arguments),
        )
        return _steps(plan, ("--without-pip",), install, "--default-index")

    return steps


def pip_steps(plan: Plan) -> tuple[Step, ...]:
    """Return the steps of plain pip, the environment's own."""
    install = (
        *(plan.python, "-I", "-m", "pip", "install", "--no-deps", "--only-binary", ":all:", "--no-compile"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
    )
    return _steps(plan, (), install, "--index-url")


def _steps(
    plan: Plan,
    venv_options: tuple[str, ...],
    install: tuple[str, ...],
    index_option: str,
) -> tuple[Step, ...]:
    environment, requirements = plan.environment(), plan.requirements
    create = (str(plan.interpreter.path), "-I", "-m", "venv", *venv_options, str(plan.target))
    steps = [Step(f"creating a Python {plan.interpreter.minor} environment", create, environment)]
    if requirements.torch is not None:
        index = plan.index_for_torch()
        source = () if index is None else (index_option, index)
        argv = (*install, *source, "-r", str(requirements.torch))
        steps.append(Step("installing PyTorch", argv, environment, fetches=True))
    argv = (*install, "--require-hashes", "-r", str(requirements.hashed))
    steps.append(Step(f"installing {requirements.engine}", argv, environment, fetches=True))
    return (*steps, _compile_step(plan, environment))


def _compile_step(plan: Plan, environment: Mapping[str, str]) -> Step:
    """Compile once, on all processors: every engine start imports 4,000 modules in each of three processes."""
    library = plan.target / "lib" / f"python{plan.interpreter.minor}" / "site-packages"
    argv = (*(plan.python, "-I", "-m", "compileall", "-q", "-j", "0", "-x", _NOT_COMPILED), str(library))
    # Some distributions carry templates and files for other Pythons; compileall reports them by exit code 1.
    return Step("compiling bytecode", argv, environment, may_fail=True)
