"""What a group's `model:` names: the bundled model, a folder of weights, or an id on the Hugging Face Hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.schema import BUNDLED_MODEL
from engines import bundled
from engines.launch.errors import ModelUnusable

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_TRUE = {"1", "true", "yes", "on"}


@dataclass(frozen=True, slots=True)
class Model:
    """A model as the engine is told of it."""

    reference: str
    """Absolute folder, or Hub id."""
    folder: Path | None
    """The folder that holds config.json; `None` when the engine would download it."""
    bundled: bool = False

    def weights_bytes(self) -> int:
        """Size of the weight files, in bytes; 0 when they are not on this machine."""
        if self.folder is None:
            return 0
        return sum(file.stat().st_size for pattern in _WEIGHTS for file in self.folder.glob(pattern))


def resolve(reference: str, *, where: str, environ: Mapping[str, str]) -> Model:
    """Find the model that `reference` names.

    `environ` is what the engine will see: it decides where the Hub's cache is and whether downloads are allowed.
    Raises `ModelUnusable` when there is no such folder, the folder holds no model, or a download would be needed
    and is not allowed.
    """
    if reference == BUNDLED_MODEL:
        folder = bundled.model_path()
        return Model(str(folder), _checked(folder, where), bundled=True)
    path = Path(reference).expanduser()
    if path.exists():
        folder = path.resolve()
        return Model(str(folder), _checked(folder, where))
    if reference.startswith(("/", ".", "~")) or not _HUB_ID.fullmatch(reference):
        raise ModelUnusable(
            f"there is no model at {reference}",
            where=where,
            why=f"{path.absolute()} does not exist, and it is not a Hugging Face id (NAME or OWNER/NAME)",
            remedy="correct the path, or use `model: bundled` to serve the shipped model",
        )
    cached = _cached(reference, environ)
    if cached is None and environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        raise ModelUnusable(
            f"{reference} is neither a folder nor in the Hugging Face cache",
            where=where,
            why=f"{path.absolute()} does not exist, {_hub_cache(environ)} has no such model and HF_HUB_OFFLINE is set",
            remedy="correct the path, or unset HF_HUB_OFFLINE to let the engine download it",
        )
    return Model(reference, cached)


def _checked(folder: Path, where: str) -> Path:
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelUnusable(
            f"{folder} is not a model folder",
            where=where,
            why="it has no config.json",
            remedy="name the folder that holds config.json and the weights",
        )
    if not folder.is_dir() and folder.suffix != ".gguf":
        raise ModelUnusable(
            f"{folder} is not a model folder",
            where=where,
            why="it is a file" if folder.exists() else "it does not exist",
            remedy="name the folder that holds config.json and the weights",
        )
    return folder


def _hub_cache(environ: Mapping[str, str]) -> Path:
    if cache := environ.get("HF_HUB_CACHE"):
        return Path(cache)
    home = environ.get("HF_HOME") or str(Path(environ.get("HOME", "/")) / ".cache" / "huggingface")
    return Path(home) / "hub"


def _cached(reference: str, environ: Mapping[str, str]) -> Path | None:
    snapshots = _hub_cache(environ) / f"models--{reference.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    return found[-1].parent if found else None
