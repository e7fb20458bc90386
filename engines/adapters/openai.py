"""Any other server that speaks the OpenAI API."""

from __future__ import annotations

from engines.adapters.base import Adapter

# uvicorn's and Go's common defaults are 5 s and more; nothing is known of a server in general.
OPENAI = Adapter(name="openai", models_path="/v1/models", metrics_path=None, idle_seconds=4.0)
