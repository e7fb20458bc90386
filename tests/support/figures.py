"""The figures that tests measured: told at the end of a run, not judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

FIGURES = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Note a measured figure, shown at the end of the run."""
    figures = request.config.stash.setdefault(FIGURES, {})
    return figures.__setitem__


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the figures: they are told, not judged, since a busy machine would fail a test that judges them."""
    figures = config.stash.get(FIGURES, {})
    if figures:
        terminalreporter.section("measured")
    for name, value in figures.items():
        terminalreporter.write_line(f"{name}: {value}")
