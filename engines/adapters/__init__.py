"""What differs from one engine software to another, as seen by the gateway. Light: no engine is imported."""

from __future__ import annotations

from collections.abc import Mapping

from engines.adapters.base import Adapter
from engines.adapters.openai import OPENAI
from engines.adapters.vllm import VLLM

ADAPTERS: Mapping[str, Adapter] = {"vllm": VLLM, "openai": OPENAI}
"""Engine name, as in the configuration → its adapter."""

__all__ = ["ADAPTERS", "Adapter"]
