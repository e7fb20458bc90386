"""An engine's metrics page, as far as a gateway reads it. Names after vLLM 0.32."""

from __future__ import annotations

from simulation.capacity.engine import Engine

_LABELS = '{engine="0",model_name="model"}'


def page(engine: Engine) -> bytes:
    """What `/metrics` of that engine would say now."""
    work, speed = engine.work, engine.speed
    values = {
        "num_requests_running": engine.running,
        "num_requests_waiting": engine.waiting,
        "kv_cache_usage_perc": engine.blocks.usage,
        "prefix_cache_queries_total": work.queried_tokens,
        "prefix_cache_hits_total": work.cached_tokens,
        "prompt_tokens_total": work.prefilled_tokens + work.cached_tokens,
        "generation_tokens_total": work.generated_tokens,
        "num_preemptions_total": work.preemptions,
        "iteration_tokens_total_count": work.steps,
    }
    lines = [f"vllm:{name}{_LABELS} {float(value)}" for name, value in values.items()]
    shape = f'{{block_size="{speed.block_tokens}",engine="0",num_gpu_blocks="{speed.kv_blocks}"}}'
    return "\n".join([*lines, f"vllm:cache_config_info{shape} 1.0", ""]).encode()
