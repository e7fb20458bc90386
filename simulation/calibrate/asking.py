"""Asking an engine directly, and noting when each piece of an answer came. As little of a client as will do."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.fleet.endpoint import Address, UnixAddress

ANSWER_SECONDS = 120.0
_LIMIT_BYTES = 1 << 22


class NoAnswer(Exception):
    """The engine refused, or what came is no answer."""


@dataclass(frozen=True, slots=True)
class Heard:
    """When a request was sent, and when each event with a token came, in monotonic seconds."""

    sent: float
    tokens: tuple[float, ...]

    @property
    def first_token(self) -> float:
        """Seconds until the first token."""
        return self.tokens[0] - self.sent


@dataclass(frozen=True, slots=True)
class Target:
    """An engine that runs, and the model to ask of it."""

    address: Address
    model: str
    key: str | None = None

    async def ask(self, prompt: Sequence[int], tokens: int) -> Heard:
        """Ask for so many tokens after a prompt of token ids. Raises `NoAnswer`, `OSError`, `TimeoutError`."""
        fields = {
            "model": self.model,
            "prompt": list(prompt),
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "temperature": 0,
        }
        body = json.dumps(fields).encode()
        head = (
            f"POST /v1/completions HTTP/1.1\r\nhost: engine\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n{self._authorization()}connection: close\r\n\r\n"
        )
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await self._connect()
            try:
                sent = time.monotonic()
                writer.write(head.encode() + body)
                status = await reader.readline()
                if b" 200 " not in status:
                    raise NoAnswer((status + await reader.read(2000)).decode("utf-8", "replace"))
                came = []
                while line := await reader.readline():
                    if line.startswith(b'data: {"error"'):
                        raise NoAnswer(line.decode("utf-8", "replace"))
                    if line.startswith(b"data: {") and b'"choices":[{' in line:
                        came.append(time.monotonic())
            finally:
                writer.close()
        if not came:
            raise NoAnswer("the answer has no token")
        return Heard(sent, tuple(came))

    async def page(self, path: str) -> str:
        """The body of a page. Raises as `ask` does."""
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await self._connect()
            try:
                writer.write(
                    f"GET {path} HTTP/1.1\r\nhost: engine\r\n{self._authorization()}connection: close\r\n\r\n".encode()
                )
                answer = await reader.read(-1)
            finally:
                writer.close()
        if b" 200 " not in answer.split(b"\r\n", 1)[0]:
            raise NoAnswer(f"{path}: {answer[:200].decode('utf-8', 'replace')}")
        return answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")

    def _authorization(self) -> str:
        return f"authorization: Bearer {self.key}\r\n" if self.key else ""

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.address, UnixAddress):
            return await asyncio.open_unix_connection(self.address.path, limit=_LIMIT_BYTES)
        return await asyncio.open_connection(self.address.host, self.address.port, limit=_LIMIT_BYTES)


@dataclass(frozen=True, slots=True)
class Spent:
    """What an engine's own clock says of the requests that it ended: sums of seconds."""

    requests: int
    queued: float
    prefill: float
    decode: float

    def since(self, earlier: Spent) -> Spent:
        """Of those that ended after `earlier`."""
        return Spent(
            self.requests - earlier.requests,
            self.queued - earlier.queued,
            self.prefill - earlier.prefill,
            self.decode - earlier.decode,
        )


def spent(page: str) -> Spent:
    """Read an engine's metrics page. Raises `NoAnswer` when it does not tell."""
    sums = [
        [
            float(value)
            for value in re.findall(rf"^vllm:request_{name}\{{[^}}]*\}} (\S+)$", page, re.MULTILINE)
        ]
        for name in (
            "prefill_time_seconds_count",
            "queue_time_seconds_sum",
            "prefill_time_seconds_sum",
            "decode_time_seconds_sum",
        )
    ]
    if not all(sums):
        raise NoAnswer("the engine's metrics do not tell how long requests took")
    requests, queued, prefill, decode = (sum(values) for values in sums)
    return Spent(int(requests), queued, prefill, decode)


def number(page: str, pattern: str) -> int:
    """The whole number that `pattern` finds on a page. Raises `NoAnswer`."""
    found = re.search(pattern, page)
    if found is None:
        raise NoAnswer(f"the engine does not tell {pattern}")
    return int(found[1])
