"""What engines say of their caches is imported where it is asked for, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from config.paths import Paths
from config.schema import Config
from gateway.app import build
from gateway.app import prefixes as module
from gateway.app.prefixes import MissingPackage

BUILT = """
import sys
from pathlib import Path
from config.paths import Paths
from config.schema import Config
from gateway.app import build
config = Config.model_validate({"auth": {"mode": "anonymous"}, "admission": {"prefix_source": %r}})
made = build(config, Paths(Path("unused")))
print([n for n in ("jinja2", "tokenizers", "gateway.fleet.cached", "gateway.balancer.precise") if n in sys.modules])
"""


def loaded(source: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", BUILT % source], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_gateway_that_guesses_brings_nothing_of_it_along() -> None:
    assert loaded("sent") == "[]"
    assert loaded("events") == "['jinja2', 'gateway.fleet.cached', 'gateway.balancer.precise']"


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("jinja2", "no_such_package"))
    config = Config.model_validate({"auth": {"mode": "anonymous"}, "admission": {"prefix_source": "events"}})
    with pytest.raises(MissingPackage, match="needs no_such_package: not installed"):
        build(config, Paths(Path("unused")))


@pytest.mark.parametrize("policy", ["least_requests", "prefix"])
def test_only_the_policy_that_scores_can_be_told(policy: str) -> None:
    with pytest.raises(ValueError, match="prefix_source: events"):
        Config.model_validate({"admission": {"policy": policy, "prefix_source": "events"}})
