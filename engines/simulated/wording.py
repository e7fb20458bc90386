"""The text of an answer, the same for the same prompt, and the counting of tokens.

A prompt's tokens are its characters in fours, so that counting costs nothing. An answer's tokens are words of the
prompt, said again in turn.
"""

from __future__ import annotations

import zlib
from typing import Any

CHARACTERS_PER_TOKEN = 4
VOCABULARY = 32_000
FIRST_ORDINARY_TOKEN = 16
END_TOKEN = 2
END_PIECE = "<|im_end|>"
_ECHOED_CHARACTERS = 256
_FALLBACK_WORDS = ("so", "it", "goes")
_MULTIBYTE_WORDS = ("Größe", "naïve", "日本語", "привет", "🙂", "한국어", "𝛼β", "ﷺ")


def text_of(content: Any) -> str:
    """Give the text of a message's content: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def rendered(messages: list[dict[str, Any]]) -> str:
    """Give the prompt that a chat template makes of `messages`."""
    turns = [f"<|im_start|>{m.get('role', '')}\n{text_of(m.get('content'))}<|im_end|>\n" for m in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


def count_tokens(text: str) -> int:
    """Give how many tokens `text` is, at least one."""
    return max(1, -(-len(text) // CHARACTERS_PER_TOKEN))


def split_tokens(text: str) -> list[str]:
    """Give the tokens of a prompt or of text that stands for itself (JSON, tool arguments)."""
    return [text[i : i + CHARACTERS_PER_TOKEN] for i in range(0, len(text), CHARACTERS_PER_TOKEN)]


def token_id(piece: str) -> int:
    """Give the id of a token."""
    span = VOCABULARY - FIRST_ORDINARY_TOKEN
    return FIRST_ORDINARY_TOKEN + zlib.crc32(piece.encode("utf-8", "surrogatepass")) % span


def answer_pieces(topic: str, count: int, *, seed: int, multibyte: float) -> list[str]:
    """Give `count` words, each but the first with a space before it; the same for the same arguments."""
    words = topic[-_ECHOED_CHARACTERS:].split() or list(_FALLBACK_WORDS)
    size = len(words)
    start = seed % size
    pieces = [" " + words[(start + i) % size] for i in range(min(count, size))]
    if count > size:
        pieces = (pieces * (count // size + 1))[:count]
    if multibyte > 0:
        _make_multibyte(pieces, seed, multibyte)
    if pieces:
        pieces[0] = pieces[0][1:]
    return pieces


def _make_multibyte(pieces: list[str], seed: int, share: float) -> None:
    """Replace words so that in every stretch of the answer `share` of them are not ASCII."""
    owed = 0.0
    for i in range(len(pieces)):
        owed += share
        if owed >= 1.0:
            owed -= 1.0
            pieces[i] = " " + _MULTIBYTE_WORDS[(seed + i) % len(_MULTIBYTE_WORDS)]
