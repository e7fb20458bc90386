"""One running worker process: spawned, listened to, ended with everything that it started."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from engines.launch import child, orphans
from engines.launch.address import UnixSocket
from engines.launch.orphans import WorkerProcess
from engines.launch.session import Identity, Session, boot_id, identify
from engines.launch.shared_memory import Segment, held_by
from engines.launch.spec import WorkerSpec
from engines.launch.tail import LineSplitter, LogFile, Tail

_PIPE_S = 1.0


class _Output(asyncio.Protocol):
    """Feeds what arrives on the pipe to `on_line`."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._splitter = LineSplitter()
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        for line in self._splitter.feed(data):
            self._on_line(line)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.data_received(b"")
        self.ended.set()


class WorkerChild:
    """A started worker. Whoever started it must await `stop()`, also after it exited by itself.

    `on_line` hears each line of its output on the event loop.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        process: asyncio.subprocess.Process,
        *,
        folder: Path,
        scratch: Path,
        log: LogFile,
        tail: Tail,
        on_line: Callable[[str], None],
    ) -> None:
        self._process = process
        self._folder = folder
        self._scratch = scratch
        self._worker = spec.id
        self._socket = str(spec.address.path) if isinstance(spec.address, UnixSocket) else None
        # One that has died already has no identity; it had no time to start others.
        self._session = Session(identify(process.pid) or Identity(process.pid, -1))
        self._shared: frozenset[Segment] = frozenset()
        self.tail = tail
        self._log = log
        self._on_line = on_line
        self._output = _Output(self._take)
        self._pipe: asyncio.BaseTransport | None = None

    @property
    def pid(self) -> int:
        """The leader's pid, which is also its session's and group's number."""
        return self._process.pid

    async def listen(self, read_end: int) -> None:
        """Read the output from the pipe `read_end`, which `stop()` closes."""
        pipe = os.fdopen(read_end, "rb", buffering=0)
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self._output, pipe)

    def _take(self, line: str) -> None:
        self.tail.add(line)
        self._log.add(line)
        self._on_line(line)

    def note_members(self) -> None:
        """Write down its processes and shared memory, known as its own if it dies. Raises `OSError`."""
        now = self._session.look()
        shared = self._shared_by(now)
        if now.seen and (now, shared) != (self._session, self._shared):
            self._session, self._shared = now, shared
            self.write_record()

    def _shared_by(self, session: Session) -> frozenset[Segment]:
        """The shared memory seen so far, and what the processes of `session` hold now."""
        return self._shared | held_by(member.pid for member in session.seen)

    def write_record(self) -> None:
        """Leave word for a later supervisor. Raises `OSError` when the folder cannot be written."""
        orphans.write(self._folder, self._record())

    def _record(self) -> WorkerProcess:
        return WorkerProcess(
            worker=self._worker,
            boot=boot_id(),
            session=self._session,
            socket=self._socket,
            scratch=str(self._scratch),
            shared=tuple(self._shared),
        )

    async def wait(self) -> int:
        """Wait for the leader's exit; its code, negative for a signal. Its children may live on until `stop()`."""
        code = await self._process.wait()
        self._session = self._session.look_after_exit()
        return code

    async def stop(self, *, grace_s: float) -> None:
        """End the leader and everything it started, SIGKILL after `grace_s`; release pipe, log, record and files.

        May be called again meanwhile, with less grace. Raises `ProcessesRemain` when the kernel holds on to a process
        that was killed; the record then stays.
        """
        self._shared = self._shared_by(self._session.look())
        try:
            await orphans.end(self._session, worker=self._worker, grace_s=grace_s)
            await self._process.wait()
            orphans.forget(self._folder, self._record())
        finally:
            await self._hear_the_rest()

    async def _hear_the_rest(self) -> None:
        """Take what is still in the pipe; the end comes at once unless a stranger was given the other end."""
        if self._pipe is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._output.ended.wait(), _PIPE_S)
            self._pipe.close()
        self._log.close()


async def spawn(spec: WorkerSpec, *, folder: Path, logs: Path, on_line: Callable[[str], None]) -> WorkerChild:
    """Start the process of `spec`; `folder` gets its record, `logs` its log file.

    Raises `OSError` when it cannot be started; then nothing is left behind.
    """
    if isinstance(spec.address, UnixSocket):
        spec.address.path.unlink(missing_ok=True)  # vLLM binds without looking and fails on a stale file
    tail = Tail()
    with ExitStack() as undo:
        # vLLM 0.32 leaves the sockets between its processes behind, also when it ends in order.
        scratch = Path(tempfile.mkdtemp(prefix="cascadia-"))
        undo.callback(shutil.rmtree, scratch)
        log = LogFile(logs / f"{spec.id}.log", on_trouble=tail.add)
        undo.callback(log.close)
        # A pipe of our own: asyncio's would delay wait() until the last child of a killed engine closes its end.
        read_end, write_end = os.pipe()
        undo.callback(os.close, read_end)
        try:
            process = await _execute(spec, write_end, scratch)
        finally:
            os.close(write_end)
        undo.pop_all()
    started = WorkerChild(spec, process, folder=folder, scratch=scratch, log=log, tail=tail, on_line=on_line)
    try:
        await started.listen(read_end)
        started.write_record()
    except BaseException:
        await started.stop(grace_s=0)
        raise
    return started


async def _execute(spec: WorkerSpec, output: int, scratch: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-B", child.__file__, str(os.getpid()), *spec.argv),
        env={"VLLM_RPC_BASE_PATH": str(scratch), **spec.env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
