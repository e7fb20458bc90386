"""The real product for all tests that do not end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.product import FREE_PORT, READY_SECONDS, Product, start


class Bundled:
    """`cascadia up` without any configuration, over the real engine: started when it is asked for and does not run."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._starts = 0
        self._product: Product | None = None

    def ready(self) -> Product:
        """The product, its worker ready; a new one if a test ended the last one."""
        product = self._product
        if product is None or not product.is_running:
            self._starts += 1
            self._say("starting the product with the real engine")
            product = self._product = start(self._folder / str(self._starts), "--listen", FREE_PORT)
            product.wait_until_ready(self._say)
        product.until(product.is_ready, seconds=READY_SECONDS, every=0.1)
        return product

    def end(self) -> None:
        """End it if it runs."""
        if self._product is not None:
            self._product.end()


@pytest.fixture(scope="session")
def bundled(short_folder: Path, say: Callable[[str], None]) -> Iterator[Bundled]:
    kept = Bundled(short_folder, say)
    yield kept
    kept.end()


@pytest.fixture
def product(bundled: Bundled) -> Product:
    """The real product, ready. Tests may kill what is under it; it starts that again."""
    return bundled.ready()
