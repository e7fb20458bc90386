"""From a call to its prompt, for one model's folder: tokenizer and chat template, loaded in another thread."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from gateway.balancer.precise.asked import Asked, values_of
from gateway.balancer.precise.template import Render, template_of
from gateway.balancer.precise.tokens import Encode, Prompt, Run, Tokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SAMPLE = "It is so:\n\n  - one;\nTwo.  \n\n\n3 and 4\r\nfive, {\n\"six\": 'é',\n}\nSeven\n"
"""If lines of this may be made into tokens apart, lines may."""

log = logging.getLogger(__name__)


class Reader:
    """Reads the prompts of one model."""

    def __init__(self, tokens: Tokens, first: tuple[int, ...], template: tuple[Render, bool] | None) -> None:
        self._tokens = tokens
        self._first = first
        self._template = template

    def text(self, asked: Asked) -> str | None:
        """The text that the engine makes of it; `None` where that cannot be told."""
        if asked.messages is None or self._template is None:
            return asked.prompt if isinstance(asked.prompt, str) and asked.messages is None else None
        render, knows_developers = self._template
        values = values_of(asked, knows_developers=knows_developers)
        if values is None:
            return None
        try:
            return render(**values)
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError):
            return None  # the engine will say what is wrong with it

    def prompt(self, asked: Asked, text: str | None, size: int) -> Prompt | None:
        """Its blocks of `size` tokens. `text` is what `text` gave."""
        if text is not None:
            return self._tokens.read(text, size, () if asked.messages is not None else self._first)
        if isinstance(asked.prompt, list):
            return self._tokens.of_ids(asked.prompt, size)
        return None


class Readers:
    """A reader for each folder, loaded when it is first asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._known: dict[str, Reader | None] = {}
        self.failures = 0
        """Folders whose files cannot be used."""

    def of(self, folder: str) -> Reader | None:
        """The reader of `folder`; `None` until it is loaded, and when it cannot be."""
        if folder not in self._known:
            self._known[folder] = None
            self._run(lambda: load(Path(folder), self._run), lambda made: self._loaded(folder, made))
        return self._known[folder]

    def _loaded(self, folder: str, made: Reader | str) -> None:
        if isinstance(made, str):
            self.failures += 1
            log.warning(
                "prompts are not compared with engines' caches: the model's tokenizer cannot be used",
                extra={"folder": folder, "error": made},
            )
        else:
            self._known[folder] = made


def load(folder: Path, run: Run) -> Reader | str:
    """The reader of `folder`, or why there is none. Never raises: it runs in another thread."""
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - 8 MB, and only here

        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        template = template_of(folder)
    except Exception as error:  # noqa: BLE001 - the library raises nothing more precise
        return str(error)
    encode = _encoder(tokenizer)
    special = [
        token.content
        for token in tokenizer.get_added_tokens_decoder().values()
        if not (token.lstrip or token.rstrip or token.single_word or token.normalized)
    ]
    first = tuple(tokenizer.encode("").ids)
    return Reader(Tokens(encode, special, run, cuts_lines=_may_cut_lines(encode)), first, template)


def _encoder(tokenizer: Tokenizer) -> Encode:
    def encode(texts: Sequence[str]) -> list[list[int]]:
        made = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in made]

    return encode


def _may_cut_lines(encode: Encode) -> bool:
    lines = _SAMPLE.splitlines(keepends=True)
    parts = ["".join(lines[:3]), "".join(lines[3:6]), "".join(lines[6:9]), "".join(lines[9:])]
    whole, *apart = encode(["".join(parts), *parts])
    return whole == [token for part in apart for token in part]
