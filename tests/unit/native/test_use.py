"""When the compiled modules are used."""

import sys
from pathlib import Path

import pytest

from gateway import native


@pytest.fixture
def meta_path(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return sys.meta_path


def built(folder: Path, made_from: str) -> Path:
    (folder / native.DIGEST).write_text(made_from)
    return folder


def test_what_was_made_from_the_sources_as_they_are_is_used(tmp_path, meta_path) -> None:
    before = len(meta_path)
    assert native.use({}, built(tmp_path, native.digest()))
    assert len(sys.meta_path) == before + 1
    spec = sys.meta_path[0].find_spec("gateway.proxy.exchange", None)
    assert spec is not None
    assert Path(spec.origin).is_relative_to(tmp_path)
    assert sys.meta_path[0].find_spec("gateway.proxy.edge", None) is None


def test_what_was_made_from_other_sources_is_not(tmp_path, meta_path) -> None:
    before = list(meta_path)
    assert not native.use({}, built(tmp_path, native.digest()[::-1]))
    assert not native.use({}, tmp_path / "nothing")
    assert sys.meta_path == before


def test_a_changed_source_is_another_digest(tmp_path, monkeypatch) -> None:
    made_from = native.digest()
    changed = tmp_path / "exchange.py"
    changed.write_bytes(native.source_of("gateway.proxy.exchange").read_bytes() + b"\n")
    found = native.source_of
    monkeypatch.setattr(
        native, "source_of", lambda name: changed if name == "gateway.proxy.exchange" else found(name)
    )
    assert native.digest() != made_from


def test_the_switch_has_the_sources_run(tmp_path, meta_path) -> None:
    assert not native.use({native.SWITCH: "0"}, built(tmp_path, native.digest()))
