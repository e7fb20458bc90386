"""Several gateway processes on one address: the addresses opened, the data folder held, its screen shown, the parent run."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path

import msgspec

from config.problems import ConfigErrors
from config.schema import Config
from config.write import snapshot
from gateway.accepting import Sockets, listen_for
from gateway.administration import first_token
from gateway.app import LEAVE
from gateway.cli import embedded
from gateway.cli.crew import Crew, Keeper, Life
from gateway.cli.failure import Failure
from gateway.cli.instance import only_one
from gateway.cli.keyring import first_key
from gateway.cli.output import Voice
from gateway.cli.parent import KILL_AFTER_S, Backoff, Child, environment, program, spawn
from gateway.cli.screen import Screen
from gateway.cli.seating import Place
from gateway.cli.setting import Setting
from gateway.cli.upstreams import first_models
from gateway.siblings import notes

_LONGEST_PATH = 107
"""Of a unix socket's address on Linux, in bytes."""

Reload = Callable[[], Setting]
"""Reads the configuration anew."""


def serve_several(
    setting: Setting, voice: Voice, reload: Reload, *, has_screen: bool = True, runs_valkey: bool = True
) -> int:
    """Serve with as many processes as configured until a signal; returns the exit code.

    `runs_valkey`: whether this process is to run the Valkey that the configuration wants, or another does. Raises `Failure`
    when another gateway holds the data folder, `ListenError` when an address cannot be had.
    """
    config, paths = setting.config, setting.paths
    with ExitStack() as stack:
        publish = stack.enter_context(only_one(paths.run, "gateway"))
        folder = (paths.run / "gateway" / str(os.getpid())).absolute()
        _prepare(folder)
        stack.callback(_remove, folder)
        new_key = first_key(config, paths)
        admin_token = first_token(paths)
        seats = config.server.workers
        public = stack.enter_context(listen_for(config.server.listen, seats))
        admin = stack.enter_context(listen_for(config.server.admin_listen, seats))
        file = folder / "config.json"
        _snapshot(config, setting, file)

        async def show() -> None:
            screen = Screen(
                url=public.url,
                models=await first_models(config),
                needs_key=config.auth.mode == "keys",
                new_key=new_key,
                admin_url=admin.url,
                admin_token=admin_token,
            )
            for line in screen.lines():
                voice.tell(line)

        return asyncio.run(
            _supervise(
                setting,
                voice,
                _Processes(folder, file, seats, public, admin, quiet=voice.quiet),
                on_up=lambda: publish(public.url, admin.url),
                show=show if has_screen else None,
                reload=reload,
                runs_valkey=runs_valkey,
            )
        )


async def _supervise(
    setting: Setting,
    voice: Voice,
    processes: _Processes,
    *,
    on_up: Callable[[], None],
    show: Callable[[], Coroutine[None, None, None]] | None,
    reload: Reload,
    runs_valkey: bool,
) -> int:
    server = setting.config.server
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    def up() -> None:
        on_up()
        if show is not None:
            tasks.append(loop.create_task(show()))

    def renew() -> bool:
        try:
            processes.renew(setting, reload())
        except (ConfigErrors, Failure) as error:
            voice.say(f"gateway  the configuration cannot be used, the old processes go on: {error}")
            return False
        return True

    keepers = [
        Keeper(seat, processes, voice.say, backoff=_backoff(), leave=LEAVE) for seat in range(processes.seats)
    ]
    crew = Crew(
        keepers, voice.say, up, renew, server.drain_delay_seconds + server.drain_seconds + KILL_AFTER_S
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, crew.interrupt)
    loop.add_signal_handler(signal.SIGHUP, crew.hang_up)
    valkey = None
    if runs_valkey and embedded.is_wanted(setting.config):
        role = embedded.role(setting.paths, os.getpid())
        valkey = Child(role, spawn=spawn, say=voice.say, backoff=_backoff(), settled_s=0.0)
        tasks.append(loop.create_task(_run(valkey)))
    try:
        return await crew.run()
    finally:
        if valkey is not None:
            valkey.kill()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(child: Child) -> None:
    await child.run()


class _Processes:
    """Starts gateway processes, each with its seat, and forgets nothing of what they counted."""

    def __init__(
        self, folder: Path, file: Path, seats: int, public: Sockets, admin: Sockets, *, quiet: bool
    ) -> None:
        self.seats = seats
        self._folder = folder
        self._file = file
        self._public = public
        self._admin = admin
        self._quiet = quiet

    async def start(self, seat: int, *, joins: bool) -> Life:
        """See `Bench`."""
        reading, writing = os.pipe()
        public, admin = (
            [each.fileno() for each in sockets.of(seat)] for sockets in (self._public, self._admin)
        )
        place = Place(
            seat=seat,
            of=self.seats,
            folder=str(self._folder),
            public=tuple(public),
            admin=tuple(admin),
            url=self._public.url,
            admin_url=self._admin.url,
            joins=joins,
            up=writing,
        )
        argv = [
            *program(),
            "gateway",
            "--config",
            str(self._file),
            "--parent-pid",
            str(os.getpid()),
            "--place",
            msgspec.json.encode(place).decode(),
            *(["--quiet"] if self._quiet else []),
        ]
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=environment(),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[*public, *admin, writing],
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return Process(f"{seat}-{process.pid}", process, reading)

    def buried(self, life: Life) -> None:
        """See `Bench`."""
        notes.fold(self._folder, life.name)

    def renew(self, before: Setting, now: Setting) -> None:
        """Give the processes started from now on another configuration: with what cannot change as it was."""
        old, new = before.config, now.config
        server = new.server.model_copy(
            update={name: getattr(old.server, name) for name in ("listen", "admin_listen", "workers")}
        )
        _snapshot(new.model_copy(update={"server": server}), before, self._file)


def _snapshot(config: Config, setting: Setting, file: Path) -> None:
    snapshot(config.model_copy(update={"data_dir": setting.paths.data.absolute()}), file)


def _prepare(folder: Path) -> None:
    longest = os.fsencode(notes.socket_of(folder, f"{'9' * 3}-{'9' * 7}"))
    if len(longest) > _LONGEST_PATH:
        raise Failure(
            f"the paths of sockets in {folder} would be longer than {_LONGEST_PATH} bytes",
            fix="name a data folder with a shorter path with --data-dir, or set server.workers to 1",
            next_command="cascadia config show --why",
        )
    notes.prepare(folder)


def _remove(folder: Path) -> None:
    notes.prepare(folder)
    folder.rmdir()


def _backoff() -> Backoff:
    return Backoff(random.Random())  # noqa: S311 - jitter


class Process:
    """A real one. `up` is the reading end of the pipe by which it says that it serves."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, up: int) -> None:
        self.name = name
        self._process = process
        self._up = asyncio.create_task(_told(up))

    @property
    def is_over(self) -> bool:
        """See `Life`."""
        return self._process.returncode is not None

    async def is_up(self, seconds: float) -> bool:
        """See `Life`."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._up), seconds)
        except TimeoutError:
            return False

    async def wait(self) -> int:
        """See `Life`."""
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """See `Life`."""
        if not self.is_over:
            self._process.send_signal(number)


async def _told(descriptor: int) -> bool:
    """Whether something comes out of the pipe before it is closed at the other end."""
    loop = asyncio.get_running_loop()
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        readable = asyncio.Event()
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
            return bool(pipe.read(1))
        finally:
            loop.remove_reader(descriptor)
