"""How large and how deep a body may be, judged before and after it becomes objects.

Decoding is one call into C that no other thread can interrupt, and what it costs goes by the number of values, not of
bytes: 8 MiB of text take 2 ms, 8 MiB of `[],` half a second. So a large body is scanned first, in windows between which
other threads have their turn, and never decoded when it holds more than the bounds below. What they bound:

- depth: engines walk bodies recursively, and none needs more (a chat with tools has 8 levels),
- keys, values, strings, containers: the objects that one body becomes, and the time of the one call that makes them,
- digits: converting a whole number costs the square of its length,
- whole numbers beyond 2**53: JSON readers disagree on them (RFC 8259, section 6).
"""

from __future__ import annotations

from typing import Any

from gateway.core.errors import InvalidJson

MAX_DEPTH = 32
MAX_KEYS = 10_000
MAX_VALUES = 500_000
"""Decoding or encoding twice as many is a call of 60 ms on a busy machine, and no prompt of token ids is longer."""
MAX_CONTAINERS = 100_000
"""Arrays and objects: each is 60 bytes and more, and the garbage collector looks at every one."""
MAX_STRINGS = 250_000
"""Keys among them: one of other characters than ASCII takes four times as long to make as a number."""
MAX_DIGITS = 400
"""In a row. The longest number that a float can hold has 309."""
MAX_INTEGER = 2**53

LARGE_BYTES = 256 * 1024
"""A body up to this size cannot hold more values, strings or containers than allowed, and is decoded in less than 20 ms."""
_FEW_KEYS_BYTES = 5 * MAX_KEYS
"""A body up to this size cannot hold more keys than allowed: the shortest, `"":0,`, is five bytes."""
_HARMLESS = frozenset({str, float, bool, type(None)})
"""What needs no look: a long array of these is passed over in one step."""
_WINDOW_BYTES = 64 * 1024
_ONE_DIGIT = bytes(ord("0") if chr(byte).isascii() and chr(byte).isdigit() else byte for byte in range(256))
_TOO_MANY_DIGITS = b"0" * (MAX_DIGITS + 1)


def check_size(body: bytes) -> None:
    """Refuse what would become too many objects, without making one. Raises `InvalidJson`.

    Exact for JSON; what is not JSON may be refused for another reason than that.
    """
    size = len(body)
    if size <= _FEW_KEYS_BYTES or (size <= LARGE_BYTES and body.count(b":") <= MAX_KEYS):
        return
    tally = _Tally()
    for start in range(0, size, _WINDOW_BYTES):
        tally.add(body[start : start + _WINDOW_BYTES])


class _Tally:
    """Counts what stands outside of strings, window by window."""

    __slots__ = ("_containers", "_in_string", "_is_escaping", "_keys", "_quotes", "_separators")

    def __init__(self) -> None:
        self._in_string = False
        self._is_escaping = False  # the last window ended with the first half of an escape
        self._keys = self._separators = self._containers = self._quotes = 0

    def add(self, window: bytes) -> None:
        """Take the next window. Raises `InvalidJson` as soon as there is too much."""
        if self._is_escaping:
            window = b"\\" + window
        self._is_escaping = bool((len(window) - len(window.rstrip(b"\\"))) & 1)
        if self._is_escaping:
            window = window[:-1]
        if self._in_string and b'"' not in window:
            return
        if b"\\" in window:  # an escape is two bytes at least; what is left of a longer one says nothing
            window = window.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = window.split(b'"')
        outside = b"".join(pieces[self._in_string :: 2])
        self._in_string ^= not len(pieces) & 1
        self._quotes += len(pieces) - 1
        self._keys += outside.count(b":")
        self._containers += outside.count(b"[") + outside.count(b"{")
        self._separators += outside.count(b",")
        self._judge(outside)

    def _judge(self, outside: bytes) -> None:
        if self._keys > MAX_KEYS:
            raise InvalidJson(f"The request body has more than {MAX_KEYS} keys.")
        if self._containers > MAX_CONTAINERS:
            raise InvalidJson(f"The request body has more than {MAX_CONTAINERS} arrays and objects.")
        if self._quotes > 2 * MAX_STRINGS:
            raise InvalidJson(f"The request body has more than {MAX_STRINGS} texts.")
        if self._separators + self._containers > MAX_VALUES:
            raise InvalidJson(f"The request body has more than {MAX_VALUES} values.")
        if _TOO_MANY_DIGITS in outside.translate(_ONE_DIGIT):
            raise InvalidJson(f"The request body has a number of more than {MAX_DIGITS} digits.")


def check_shape(members: dict[str, Any]) -> None:
    """Refuse what is nested too deeply, and whole numbers beyond 2**53. Raises `InvalidJson`.

    Level by level, so that no nesting is ever followed further than allowed.
    """
    level: list[Any] = [members]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for node in level:
            if node.__class__ is dict:
                values = node.values()
            elif set(map(type, node)) <= _HARMLESS:
                continue
            else:
                values = node
            for value in values:
                if value.__class__ is dict or value.__class__ is list:
                    below.append(value)
                elif value.__class__ is int and not -MAX_INTEGER <= value <= MAX_INTEGER:
                    raise InvalidJson(
                        "The request body has a whole number beyond 2**53, which JSON cannot carry safely."
                    )
        if not below:
            return
        level = below
    raise InvalidJson(f"The request body is nested too deeply: {MAX_DEPTH} levels are allowed.")
