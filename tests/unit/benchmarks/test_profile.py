"""What the profile prints, and what it does without its sampler."""

from __future__ import annotations

import pytest
import typer

from benchmarks import profile
from benchmarks.layers import table
from benchmarks.systems import SYSTEMS

STACK = "thread (1): MainThread;f (/srv/gateway/proxy/edge.py:1)"


def test_it_tells_how_many_samples_each_column_rests_on():
    found = {"plain": profile.Sampled([f"{STACK} 7"], 0), "streams": profile.Sampled([f"{STACK} 9"], 0)}
    assert list(profile.told(found))[-1] == "Percent of 7 samples (plain), 9 samples (streams)"


def test_what_was_lost_is_told():
    found = {"plain": profile.Sampled([f"{STACK} 7"], 0), "streams": profile.Sampled([f"{STACK} 9"], 2)}
    assert list(profile.told(found))[-1] == "Lost or unfinished: 2 (streams)"


def test_a_load_without_samples_is_an_empty_column():
    found = {"plain": profile.Sampled([], 0)}
    assert list(profile.told(found))[:-1] == list(table({"plain": {}}, least=0.5))


def test_the_gateways_are_systems_and_nothing_else_is():
    assert set(profile.GATEWAYS) == set(SYSTEMS) - {"direct", "nginx"}
    with pytest.raises(typer.BadParameter, match="edge, asgi"):
        profile.main("nginx")


def test_without_its_sampler_it_says_where_that_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr(profile.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(profile.SpyError, match=r"requirements/dev\.txt"):
        profile._spy()


def test_a_stream_lasts_as_long_as_its_tokens():
    (streams,) = [load for load in profile.LOADS if load.stream]
    assert (streams.connections, streams.lasting) == (500, 1.5)
    assert not any(load.lasting for load in profile.LOADS if not load.stream)
