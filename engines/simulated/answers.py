"""What is answered: the tokens of one choice and why they end, decided before the first of them is sent."""

from __future__ import annotations

import msgspec

from engines.simulated import wording
from engines.simulated.asks import Ask, Tool
from engines.simulated.script import Script


class Answer(msgspec.Struct, frozen=True):
    """One choice."""

    pieces: list[str]
    """Its tokens; the end token is the empty text."""
    deltas: list[str]
    """What each token adds to the text that is shown: stop strings hold text back."""
    finish_reason: str
    stop_reason: str | None = None
    tool: Tool | None = None

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.deltas)


def compose(ask: Ask, script: Script, index: int, room_tokens: int) -> Answer:
    """Give choice `index` of an answer, of at most `room_tokens` tokens; the same for the same arguments."""
    limit = room_tokens if ask.max_tokens is None else min(ask.max_tokens, room_tokens)
    if ask.tool is not None:
        return _cut(wording.split_tokens(ask.tool.arguments), limit, ask.tool)
    if ask.fixed_text is not None:
        return _cut(wording.split_tokens(ask.fixed_text), limit)
    length = limit if ask.ignore_eos else min(limit, max(script.tokens, ask.min_tokens))
    topic = ask.topic if ask.is_chat else ask.prompts[index // ask.n]
    seed = script.seed + ask.seed + index % ask.n
    pieces = wording.answer_pieces(topic, length, seed=seed, multibyte=script.multibyte)
    if ask.stop:
        stopped = _stopped(pieces, ask)
        if stopped is not None:
            return stopped
    if ask.ignore_eos:
        return Answer(pieces, pieces, "length")
    return _cut(pieces, limit)


def _cut(pieces: list[str], limit: int, tool: Tool | None = None) -> Answer:
    """End where the text ends, with the end token, unless `limit` comes first."""
    if len(pieces) < limit:
        ended = [*pieces, ""]
        return Answer(ended, ended, "stop", tool=tool)
    cut = pieces[:limit]
    return Answer(cut, cut, "length", tool=tool)


def _stopped(pieces: list[str], ask: Ask) -> Answer | None:
    """End at the first stop string, if there is one; as many characters as may begin one are held back."""
    text = "".join(pieces)
    found = [(text.find(s), s) for s in ask.stop if s and s in text]
    if not found:
        return None
    at, stop = min(found)
    shown_end = at + len(stop) if ask.keep_stop else at
    held = 0 if ask.keep_stop else max(map(len, ask.stop)) - 1
    used: list[str] = []
    deltas: list[str] = []
    length = shown = 0
    for piece in pieces:
        used.append(piece)
        length += len(piece)
        is_last = length >= at + len(stop)
        until = shown_end if is_last else max(shown, length - held)
        deltas.append(text[shown:until])
        shown = until
        if is_last:
            break
    return Answer(used, deltas, "stop", stop_reason=stop)


def tool_call_id(answer_id: str, index: int) -> str:
    """Give the id of a call, which follows from the id of its answer."""
    digest = 0xCBF29CE484222325
    for byte in f"{answer_id}/{index}".encode():
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"chatcmpl-tool-{digest:016x}"
