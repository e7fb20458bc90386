"""A prompt as the body of a chat request."""

from __future__ import annotations

import json

from simulation.capacity.prompts import Prompt
from simulation.capacity.scenario import Workload

MODEL = "model"
"""What the one model is called."""


def body(prompt: Prompt, workload: Workload, output_tokens: int, session: str | None) -> bytes:
    """The bytes that a client of OpenAI's API would send."""
    messages = ",".join(
        [f'{{"role":"{segment.role}","content":"{segment.text()}"}}' for segment in prompt.segments]
    )
    more = ""
    if workload.stream:
        more += ',"stream":true'
    if workload.tier != "default":
        more += f',"service_tier":"{workload.tier}"'
    if session is not None:
        more += f',"prompt_cache_key":{json.dumps(session)}'
    most = workload.max_tokens or output_tokens
    return f'{{"model":"{MODEL}","messages":[{messages}],"max_tokens":{most}{more}}}'.encode()
