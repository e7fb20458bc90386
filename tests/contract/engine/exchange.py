"""Requests as bytes and replies as bytes: what an HTTP library would hide is what this suite is about."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

from tests.support.real_engine import RunningEngine

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
QUESTION = [{"role": "user", "content": "What is the capital of Norway?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
WAIT_SECONDS = 30


@dataclass(frozen=True)
class Reply:
    """One reply, taken apart."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    chunks: tuple[bytes, ...] = ()
    is_complete: bool = True

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def names(self) -> list[str]:
        """The names of its headers, in order."""
        return [name for name, _ in self.headers]

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    @property
    def events(self) -> list[Any]:
        """The JSON of a stream's events; `[DONE]` must be the last one and is left out."""
        frames = self.body.decode().split("\n\n")
        assert frames[-2:] == ["data: [DONE]", ""]
        return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


class Connection:
    """One connection to an engine."""

    def __init__(self, uds: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(WAIT_SECONDS)
        self._socket.connect(uds)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def close(self) -> None:
        self._socket.close()

    def read_more(self) -> bool:
        """Read once; false at the end."""
        data = self._socket.recv(65536)
        self._read += data
        return bool(data)

    def read_until(self, mark: bytes) -> bytes:
        """Give everything up to and with `mark`, or up to the end."""
        while mark not in self._read:
            if not self.read_more():
                break
        before, found, self._read = self._read.partition(mark)
        return before + found

    def read_reply(self, *, is_head: bool = False) -> Reply:
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = [(n.lower(), v) for n, _, v in (line.partition(": ") for line in lines[1:] if line)]
        status = int(lines[0].split()[1])
        known = dict(headers)
        if known.get("transfer-encoding") == "chunked":
            return self._read_chunked(status, headers)
        length = 0 if is_head or status == 100 else int(known.get("content-length", 0))
        while len(self._read) < length and self.read_more():
            pass
        body, self._read = self._read[:length], self._read[length:]
        return Reply(status, headers, body, is_complete=len(body) == length)

    def _read_chunked(self, status: int, headers: list[tuple[str, str]]) -> Reply:
        chunks: list[bytes] = []
        while True:
            size = self.read_until(b"\r\n")
            if not size:
                return Reply(status, headers, b"".join(chunks), tuple(chunks), is_complete=False)
            data = self._read_exactly(int(size, 16) + 2)[:-2]
            if not data:
                return Reply(status, headers, b"".join(chunks), tuple(chunks))
            chunks.append(data)

    def _read_exactly(self, size: int) -> bytes:
        while len(self._read) < size and self.read_more():
            pass
        data, self._read = self._read[:size], self._read[size:]
        return data

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing comes within that time, the connection's end included."""
        self._socket.settimeout(seconds)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(WAIT_SECONDS)
        return False

    @property
    def is_at_end(self) -> bool:
        return not self._read and not self.read_more()


class Engine:
    """An engine under test, with short ways to ask it something."""

    def __init__(self, running: RunningEngine) -> None:
        self.running = running
        self.model = running.model

    def connect(self) -> Connection:
        return Connection(str(self.running.uds))

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        with_key: bool = True,
        close: bool = True,
    ) -> bytes:
        """Give the bytes of a request; a body that is not bytes is sent as JSON."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {"host": "engine", "content-length": str(len(data))}
        if body is not None:
            lines["content-type"] = "application/json"
        if with_key:
            lines["authorization"] = f"Bearer {self.running.api_key}"
        if close:
            lines["connection"] = "close"
        lines.update(headers or {})
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data

    def ask(self, method: str, path: str, body: Any = None, **how: Any) -> Reply:
        with self.connect() as connection:
            connection.send(self.request(method, path, body, **how))
            return connection.read_reply(is_head=method == "HEAD")

    def chat(self, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
        body = {"model": self.model, "messages": QUESTION, "temperature": 0, **fields}
        return self.ask("POST", CHAT, body, headers=headers)

    def complete(self, headers: dict[str, str] | None = None, **fields: Any) -> Reply:
        body = {"model": self.model, "prompt": "Count to five, please", "temperature": 0, **fields}
        return self.ask("POST", COMPLETIONS, body, headers=headers)

    def metrics(self) -> dict[str, float]:
        """Every line of the metrics page: name with labels → value."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        found = [value for series, value in self.metrics().items() if series.partition("{")[0] == name]
        assert found, name
        return sum(found)

    def wait_for_metric(self, name: str, wanted: float, seconds: float = 5) -> None:
        deadline = time.monotonic() + seconds
        while (value := self.metric(name)) != wanted:
            assert time.monotonic() < deadline, f"{name} is {value}, not {wanted}"
            time.sleep(0.02)
