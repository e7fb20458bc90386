"""The admin listener's application, asked without a socket by holders of each role."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from config.paths import Paths
from config.schema import Config
from gateway import app
from gateway.administration import token_file
from gateway.core.call import Role

ADDRESS = "192.0.2.7"


class Administration:
    """A gateway that is built and not run, and a token for each role."""

    def __init__(self, folder: Path, config: Config | None = None) -> None:
        self.paths = Paths(folder)
        self.parts = app.build(config or Config(), self.paths)
        tokens = token_file(self.paths)
        self.tokens = {role: tokens.create(role.value, role).text for role in Role}
        transport = httpx.ASGITransport(self.parts.admin, client=(ADDRESS, 1), raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def ask(
        self, method: str, path: str, role: Role | None = Role.ADMIN, **more: Any
    ) -> httpx.Response:
        """One call with the token of `role`, or with none."""
        headers = more.pop("headers", {})
        if role is not None:
            headers = {"authorization": f"Bearer {self.tokens[role]}", **headers}
        return await self._client.request(method, path, headers=headers, **more)

    def audited(self) -> list[dict[str, Any]]:
        """The entries of the audit log."""
        return [msgspec.json.decode(line) for line in self.parts.audit.lines()]

    async def close(self) -> None:
        await self._client.aclose()
        self.parts.aside.close()
        await self.parts.transport.close()
        await self.parts.database.close()


@contextlib.asynccontextmanager
async def administered(folder: Path, config: Config | None = None) -> AsyncIterator[Administration]:
    """An administration on `folder`."""
    made = Administration(folder, config)
    try:
        yield made
    finally:
        await made.close()
