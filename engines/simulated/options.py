"""What a simulated engine is started with: the part of vLLM's flags that changes what it does."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = "0.32.0"
FINGERPRINT = f"vllm-{VERSION}-simulat"
BLOCK_SIZE_TOKENS = 16
KV_CACHE_TOKENS = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Start-up options. Times in seconds."""

    model: str = "simulated"
    served_names: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    max_model_len: int = 4096
    max_num_seqs: int = 256
    max_num_queued_reqs: int | None = None
    shutdown_timeout: float = 0.0
    keep_alive: float = 5.0
    has_parser: bool = True
    """A tool or reasoning parser is configured: it changes what the last chunk of a stream looks like."""
    auto_tool_choice: bool = True
    force_include_usage: bool = False
    echo_request_id: bool = False
    fixed_created: int | None = None
    """Unix time to report as `created`; `None`: the clock."""
    journal_records: int = 10_000
    """How many of the latest dispatches the log keeps."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names it answers to; the first one is what it calls itself."""
        return self.served_names or (self.model,)
