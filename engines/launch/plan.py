"""One worker's next start: every check that is cheap, then its specification."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.paths import Paths
from config.schema import EngineGroup
from engines.launch import interpreter, model, precheck
from engines.launch.address import Address, TcpPort, UnixSocket, free_port
from engines.launch.arguments import check_known
from engines.launch.gpus import Gpu
from engines.launch.model import Model
from engines.launch.spec import Facts, WorkerSpec, where, worker_id, worker_spec


def new_key() -> str:
    """A key for one start of one worker: 256 random bits."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Plan:
    """What stays the same over all starts of one worker."""

    group: EngineGroup
    index: int
    paths: Paths
    gpus: tuple[Gpu, ...] = ()
    shares_cpu: bool = False
    parent_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: Callable[[], str] = new_key
    publishes: bool = False
    """Whether it tells what its prefix cache holds."""

    @property
    def worker(self) -> str:
        """The worker's name."""
        return worker_id(self.group, self.index)

    @property
    def python(self) -> Path:
        """The interpreter of the engine's environment."""
        return (self.group.python or self.paths.engine_environment / "bin" / "python").expanduser().absolute()

    async def prepare(self) -> WorkerSpec:
        """Check what can be checked and say what to start. Raises `LaunchError`: then a start could not succeed."""
        place = where(self.group)
        precheck.private_folder(self.paths.run, where="data_dir")
        precheck.private_folder(self.paths.engine_sockets, where="data_dir")
        precheck.disk(self.paths.data, where="data_dir")
        facts = self._facts(place)
        spec = worker_spec(self.group, self.index, facts)
        if self.group.engine == "vllm":
            await self._check_engine(spec, facts.model, place)
        return spec

    def _facts(self, place: str) -> Facts:
        return Facts(
            python=self.python,
            model=self._model(place),
            address=self._address(place),
            api_key=self.key(),
            gpus=self.gpus,
            shares_cpu=self.shares_cpu,
            parent_env=self.parent_env,
            publishes=self._sockets() if self.publishes and self.group.engine == "vllm" else None,
        )

    def _sockets(self) -> tuple[Path, Path]:
        folder = self.paths.engine_sockets.absolute()
        return folder / f"{self.worker}.kve", folder / f"{self.worker}.kvr"

    def _model(self, place: str) -> Model:
        if self.group.engine == "simulated":
            return Model(self.group.model, folder=None)
        seen = {**self.parent_env, **self.group.env}
        return model.resolve(self.group.model, where=f"{place}.model", environ=seen)

    def _address(self, place: str) -> Address:
        if self.group.transport == "tcp":
            return TcpPort(free_port())
        address = UnixSocket(self.paths.engine_sockets.absolute() / f"{self.worker}.sock")
        precheck.socket_path(address, where=f"{place}.name")
        return address

    async def _check_engine(self, spec: WorkerSpec, found: Model, place: str) -> None:
        precheck.memory(found, self.gpus, where=place)
        build = await interpreter.inspect(self.python, spec.env, where=f"{place}.python")
        precheck.hardware(build, self.gpus, where=f"{place}.gpus_per_replica")
        check_known(self.group.args, version=build.version, where=place)
