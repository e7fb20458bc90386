"""The model that ships in the package: small enough to start anywhere, real enough to exercise every feature.

Its weights are a file like any other; importing this package needs neither torch nor an engine.
"""

from pathlib import Path

__all__ = ["MODEL_NAME", "model_path"]

MODEL_NAME = "cascadia-tiny"
"""The name under which the bundled model is served."""


def model_path() -> Path:
    """The folder of the bundled model (configuration, weights, tokenizer) inside the installed package."""
    return Path(__file__).parent / MODEL_NAME
