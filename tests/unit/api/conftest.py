from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.administration import Administration, administered


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Administration]:
    async with administered(tmp_path / "data") as made:
        yield made
