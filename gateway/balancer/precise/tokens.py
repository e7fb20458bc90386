"""From texts to blocks of tokens, without making tokens on the event loop for more than a little that is new.

A text is cut where no token can span: before a chat's special tokens, and in long stretches at the beginning of a line.
Each piece is known with all pieces before it, so what many prompts begin with is made into tokens once. Of what is new, a
little is made at once; more of it in another thread, and until that is done the prompt counts as known up to there.
That is hardly ever wrong: what this process never saw is rarely in a cache.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

from gateway.fleet.cached.chain import ROOT, extended

AT_ONCE = 1024
"""Characters of one call that are made into tokens on the event loop: half a millisecond at most."""
STRETCH = 1024
"""Characters after which a piece is cut at the next line."""
MOST_TEXT = 32 * 1024 * 1024
"""Characters of all pieces that are remembered."""
MOST_ASIDE = 64
"""Texts that may wait for the other thread. What comes beyond is made when it is asked for again."""
_LINE = re.compile(r"\n(?=[A-Za-z0-9])")

T = TypeVar("T")


class Run(Protocol):
    """Do work in another thread, then tell what came of it on the event loop (as `proxy.aside.Aside.run`)."""

    def __call__(self, work: Callable[[], T], done: Callable[[T], object]) -> object:
        """Call `work`, which does not raise, then `done` with its result."""
        ...


Encode = Callable[[Sequence[str]], list[list[int]]]
"""Texts to tokens, each for itself, special tokens in them recognised. Does not hold the interpreter's lock."""


class Prompt(NamedTuple):
    """A prompt as an engine's cache sees it."""

    chain: list[int]
    """The numbers of its whole blocks (`fleet.cached.chain`)."""
    tokens: int
    """How many it has, as far as it is known."""
    is_whole: bool
    """Whether it is known to its end."""


class Tokens:
    """What is remembered of one model's texts. `special` are the texts that are always a token of their own."""

    def __init__(self, encode: Encode, special: Iterable[str], run: Run, *, cuts_lines: bool) -> None:
        self._encode = encode
        self._run = run
        self._cuts_lines = cuts_lines
        texts = sorted(filter(None, special), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, texts))) if texts else None
        self._nodes: OrderedDict[tuple[int, str], _Node] = OrderedDict()
        self._held = 0
        self._count = 0
        self._roots: dict[tuple[int, tuple[int, ...]], _Node] = {}
        self._aside: set[tuple[int, str]] = set()

    def __repr__(self) -> str:
        return f"<Tokens {len(self._nodes)} pieces, {self._held} characters>"

    def read(self, text: str, size: int, first: tuple[int, ...] = ()) -> Prompt:
        """`text` in blocks of `size` tokens, after the tokens `first`."""
        node = self._root(size, first)
        chain = list(node.keys)
        room = AT_ONCE
        pieces = self._pieces(text)
        for at, piece in enumerate(pieces):
            key = (node.number, piece)
            found = self._nodes.get(key)
            if found is not None:
                self._nodes.move_to_end(key)
            elif len(piece) <= room:
                room -= len(piece)
                found = self._remember(key, _after(node, self._encode([piece])[0], size, self._number()))
            else:
                self._make_aside(node, pieces[at:], size)
                return Prompt(chain, node.tokens, False)
            chain += found.keys
            node = found
        return Prompt(chain, node.tokens, True)

    def of_ids(self, ids: Sequence[int], size: int) -> Prompt:
        """A prompt that comes as tokens."""
        node = _after(_Node(0, (), ROOT, (), 0), ids, size, 0)
        return Prompt(list(node.keys), node.tokens, True)

    def _pieces(self, text: str) -> list[str]:
        starts = [0]
        if self._special is not None:
            starts += [found.start() for found in self._special.finditer(text) if found.start()]
        ends = [*starts[1:], len(text)]
        pieces: list[str] = []
        for start, end in zip(starts, ends, strict=True):
            begin = start
            while self._cuts_lines and end - begin > STRETCH:
                line = _LINE.search(text, begin + STRETCH, end)
                if line is None:
                    break
                pieces.append(text[begin : line.end()])
                begin = line.end()
            if begin < end:
                pieces.append(text[begin:end])
        return pieces

    def _make_aside(self, node: _Node, pieces: list[str], size: int) -> None:
        key = (node.number, pieces[0])
        if key in self._aside or len(self._aside) >= MOST_ASIDE:
            return
        self._aside.add(key)

        def done(made: list[list[int]]) -> None:
            self._aside.discard(key)
            last = node
            for piece, ids in zip(pieces, made, strict=True):
                known = self._nodes.get((last.number, piece))
                last = known or self._remember((last.number, piece), _after(last, ids, size, self._number()))

        self._run(lambda: self._encode(pieces), done)

    def _remember(self, key: tuple[int, str], node: _Node) -> _Node:
        self._nodes[key] = node
        self._held += len(key[1])
        while self._held > MOST_TEXT:
            (_, text), _ = self._nodes.popitem(last=False)
            self._held -= len(text)
        return node

    def _root(self, size: int, first: tuple[int, ...]) -> _Node:
        root = self._roots.get((size, first))
        if root is None:
            root = _after(_Node(0, (), ROOT, (), 0), first, size, self._number())
            self._roots[size, first] = root
        return root

    def _number(self) -> int:
        self._count += 1
        return self._count


class _Node(NamedTuple):
    """One piece, with all before it."""

    number: int
    keys: tuple[int, ...]
    """Of the blocks that end in it."""
    last: int
    left: tuple[int, ...]
    """Tokens after the last whole block."""
    tokens: int


def _after(node: _Node, ids: Sequence[int], size: int, number: int) -> _Node:
    tokens = (*node.left, *ids)
    last, keys, at = node.last, [], 0
    while at + size <= len(tokens):
        last = extended(last, tokens[at : at + size])
        keys.append(last)
        at += size
    return _Node(number, tuple(keys), last, tokens[at:], node.tokens + len(ids))
