"""Questions and orders of the administration that concern all processes, behind the door of the one that was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlencode

from gateway.siblings import notes
from gateway.siblings.answers import MERGES, OK, PAGES
from gateway.siblings.asking import Answer, ask
from gateway.siblings.pages import Part, page_of, parted

USUAL_LIMIT = 50
"""Stories on a page where no number is asked for."""

Own = Callable[[], Awaitable[Answer]]
"""Has the process that was asked do its part."""


class BadCursor(ValueError):
    """A cursor that is none of ours."""


class Spread:
    """Asks the processes whose notes are in `folder`; `own` is the name of the one that asks."""

    def __init__(self, folder: Path, own: str) -> None:
        self._folder = folder
        self._own = own

    def concerns(self, method: str, template: str) -> bool:
        """Whether what is asked there is asked of all."""
        return (method, template) in MERGES or (method, template) == PAGES

    async def answer(
        self, method: str, template: str, path: str, query: Mapping[str, str], body: bytes, own: Own
    ) -> Answer:
        """The answer of all: `own` first, then the others. Raises `BadCursor`, and what `own` does."""
        if (method, template) == PAGES:
            return await self._page(path, query, own)
        first = await own()
        target = f"{path}?{urlencode(query)}" if query else path
        names = await self._others()
        others = await self._ask(names, method, dict.fromkeys(names, target), body)
        return MERGES[method, template]([first, *others.values()])

    async def _page(self, path: str, query: Mapping[str, str], own: Own) -> Answer:
        names = [self._own, *await self._others()]
        wanted = dict(query)
        cursor = wanted.pop("cursor", None)
        if cursor is None:
            cursors: dict[str, str] = {}
            await own()  # it refuses what is not to be asked for
        else:
            try:
                cursors = parted(cursor)
            except ValueError as error:
                raise BadCursor(str(error)) from error
            names = [name for name in names if name in cursors]
        targets = {
            name: f"{path}?{urlencode({**wanted, **({'cursor': cursors[name]} if name in cursors else {})})}"
            for name in names
        }
        answers = await self._ask(names, "GET", targets, b"")
        refused = next((each for each in answers.values() if each.status != OK), None)
        if refused is not None:
            return refused
        parts = {
            name: Part(each.content["data"], each.content["places"], each.content["next_cursor"])
            for name, each in answers.items()
        }
        stories, going_on = page_of(parts, int(wanted.get("limit", USUAL_LIMIT)))
        return Answer(OK, {"data": stories, "next_cursor": going_on})

    async def _others(self) -> list[str]:
        found = await asyncio.to_thread(notes.told, self._folder)
        return [note.name for note in found.notes if note.name != self._own]

    async def _ask(
        self, names: list[str], method: str, targets: Mapping[str, str], body: bytes
    ) -> dict[str, Answer]:
        """The answers of those that gave one."""
        answers: list[Answer | None] = await asyncio.gather(
            *[ask(notes.socket_of(self._folder, name), method, targets[name], body) for name in names]
        )
        return {name: each for name, each in zip(names, answers, strict=True) if each is not None}
