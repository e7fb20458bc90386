from __future__ import annotations

from pathlib import Path

import pytest

from engines.launch import model
from engines.launch.errors import ModelUnusable


def resolve(reference: object, **environ: str) -> model.Model:
    return model.resolve(str(reference), where="engines[t].model", environ=environ)


def test_a_folder_is_made_absolute_and_its_weights_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    (tmp_path / "m" / "a.safetensors").write_bytes(b"12345")
    monkeypatch.chdir(tmp_path)
    found = resolve("m")
    assert found.reference == str(tmp_path / "m")
    assert found.weights_bytes() == 5
    assert not found.bundled


def test_a_folder_without_config_is_refused(tmp_path: Path):
    with pytest.raises(ModelUnusable, match=r"has no config\.json|not a model folder"):
        resolve(tmp_path)


@pytest.mark.parametrize("reference", ["/no/such/model", "./no-model", "~/no-model", "a/b/c", "not a name"])
def test_a_path_that_is_not_there_is_refused(reference: str):
    with pytest.raises(ModelUnusable, match="there is no model at"):
        resolve(reference, HOME="/nonexistent")


def test_a_hub_id_would_be_downloaded():
    found = resolve("owner/name", HOME="/nonexistent")
    assert found == model.Model("owner/name", None)
    assert found.weights_bytes() == 0


def test_a_hub_id_is_refused_when_offline_and_not_cached():
    with pytest.raises(ModelUnusable, match="nor in the Hugging Face cache"):
        resolve("owner/name", HOME="/nonexistent", HF_HUB_OFFLINE="1")


def test_a_cached_hub_id_is_served_offline(tmp_path: Path):
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    found = resolve("owner/name", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert found == model.Model("owner/name", snapshot)


def test_the_bundled_model_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(model.bundled, "model_path", lambda: tmp_path)
    assert resolve("bundled") == model.Model(str(tmp_path), tmp_path, bundled=True)
