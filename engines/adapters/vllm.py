"""vLLM's OpenAI-compatible server."""

from __future__ import annotations

from engines.adapters.base import Adapter

# vLLM closes idle connections after VLLM_HTTP_TIMEOUT_KEEP_ALIVE, 5 s by default.
VLLM = Adapter(
    name="vllm", models_path="/v1/models", metrics_path="/metrics", idle_seconds=4.0, takes_cache_salt=True
)
