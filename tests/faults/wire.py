"""Judges one row of the corpus: what came back, what became of the connection, what reached an engine.

Whatever a row expects, some things always hold: no answer belongs to a request that was not sent, the canary's answer is
never in another's place, and each call that reached an engine has an answer that its client saw.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults.corpus import CANARY, CANARY_ID, Case, Fate
from tests.support.peer import DEADLINE_SECONDS, Incomplete, Peer, Response, parse

SILENCE_SECONDS = 0.15
"""An incomplete request has no answer: for so long none is waited for, then the client ends its side."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass
class Seen:
    """What a client saw on one connection."""

    answers: list[Response] = field(default_factory=list)
    is_closed: bool = False
    """The other side closed first."""
    is_hung: bool = False
    """Neither an answer nor an end."""
    rest: bytes = b""
    """What came behind the last whole answer."""

    @property
    def is_canary_answered(self) -> bool:
        return any(answer.header("x-request-id") == CANARY_ID.decode() for answer in self.answers)


async def play(address: tuple[str, int], case: Case, key: str, seen: Seen) -> None:
    """Send the row and the canary behind it in one write; read until that is answered, or the end."""
    peer = await Peer.connect(address)
    raw = (case.raw + CANARY).replace(b"@KEY@", key.encode())
    try:
        sending = asyncio.ensure_future(peer.send(raw))
        await _read(peer, case, seen)
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending
    finally:
        peer.close()
    seen.rest = bytes(peer.buffer)


async def _read(peer: Peer, case: Case, seen: Seen) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_SECONDS
    is_half_closed = False
    while True:
        _take(peer, case, seen)
        if seen.is_canary_answered:
            return
        patience = SILENCE_SECONDS if case.fate is Fate.WAITING and not is_half_closed else DEADLINE_SECONDS
        try:
            async with asyncio.timeout(min(patience, max(0.0, deadline - loop.time()))):
                data = await loop.sock_recv(peer.socket, 65536)
        except ConnectionResetError:
            data = b""
        except TimeoutError:
            if is_half_closed or case.fate is not Fate.WAITING:
                seen.is_hung = True
                return
            is_half_closed = True
            peer.socket.shutdown(socket.SHUT_WR)
            continue
        if not data:
            seen.is_closed = not is_half_closed
            _take(peer, case, seen)
            return
        peer.buffer += data


def _take(peer: Peer, case: Case, seen: Seen) -> None:
    """Move the whole answers out of what has come."""
    while peer.buffer:
        if peer.buffer.startswith(CONTINUE):
            del peer.buffer[: len(CONTINUE)]
            continue
        data = bytes(peer.buffer)
        if case.is_head and not seen.answers:
            head, blank, _ = data.partition(b"\r\n\r\n")
            if not blank:
                return
            data = head.replace(b"content-length", b"x-length") + b"\r\ncontent-length: 0\r\n\r\n"
            found, _ = parse(data)
            used = len(head) + 4
        else:
            try:
                found, used = parse(data)
            except Incomplete:
                return
        seen.answers.append(found)
        del peer.buffer[:used]


def verdict(case: Case, seen: Seen, dispatched: int) -> str | None:
    """What is wrong with what was seen; `None` when nothing is. `dispatched` calls reached engines, the canary's too."""
    rules: list[tuple[bool, str]] = [
        (not seen.is_hung, "neither another answer nor an end"),
        (not seen.rest, f"half an answer: {seen.rest[:100]!r}"),
        (len(seen.answers) <= 2, "more answers than requests"),
        (_never(seen), "an answer to what was smuggled"),
        (not any(300 <= answer.status < 400 for answer in seen.answers), "a redirect"),
        (
            not any(answer.status >= 500 and answer.status not in {501, 505} for answer in seen.answers),
            "a 5xx",
        ),
        (dispatched == served(seen), f"{dispatched} dispatches, {served(seen)} of them answered"),
    ]
    first = seen.answers[0] if seen.answers else None
    is_canary_first = first is not None and first.header("x-request-id") == CANARY_ID.decode()
    rules.append((not is_canary_first, "the canary was answered in its place"))
    own = dispatched - seen.is_canary_answered
    rules.append((own <= case.dispatches, f"{own} dispatches of what is worth {case.dispatches}"))
    if case.fate is Fate.WAITING:
        rules.append((dispatched == 0, "dispatched, and it was not complete"))
        rules.append((first is None or first.status in case.statuses, "answered with another status"))
        rules.append((not seen.is_canary_answered, "the canary was answered"))
    else:
        rules.append((first is not None, "no answer"))
        rules.append((first is None or first.status in case.statuses, "answered with another status"))
    if case.fate is Fate.CLOSED:
        rules.append((not seen.is_canary_answered, "the canary was answered"))
        rules.append((seen.is_closed, "not closed"))
    if case.fate is Fate.KEPT:
        rules.append((seen.is_canary_answered, "the canary was not answered"))
    wrong = [text for holds, text in rules if not holds]
    if not wrong:
        return None
    shown = [(answer.status, answer.body[:120]) for answer in seen.answers]
    return f"{case.name}: {', '.join(wrong)}; saw {shown}, closed {seen.is_closed}"


def _never(seen: Seen) -> bool:
    return not any(answer.header("x-request-id") == "smuggled" for answer in seen.answers)


def served(seen: Seen) -> int:
    """Answers that an engine gave."""
    return sum(answer.status == 200 and b'"chat.completion"' in answer.body for answer in seen.answers)


async def judge(address: tuple[str, int], case: Case, key: str, dispatches: Callable[[], int]) -> str | None:
    """Play one row and say what is wrong with what came of it. `dispatches` counts the calls that engines were sent."""
    before = dispatches()
    seen = Seen()
    await play(address, case, key, seen)
    return verdict(case, seen, dispatches() - before)
