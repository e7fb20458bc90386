"""What the engine counts, and its page in Prometheus' text form: names and labels of vLLM 0.32."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from engines.simulated.options import BLOCK_SIZE_TOKENS, KV_CACHE_TOKENS

CONTENT_TYPE = b"text/plain; version=1.0.0; charset=utf-8"

_MAX_PENDING = 8192
_REASONS = ("stop", "length", "abort", "error", "repetition")
_TTFT = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_ITL = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_LATENCY = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_STEP = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_COUNT = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Histogram:
    """Counts by upper bound. Values are sorted in when the page is read, so that counting one costs next to nothing."""

    __slots__ = ("_pending", "bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._pending: list[float] = []

    def observe(self, value: float) -> None:
        """Count `value`."""
        self._pending.append(value)
        if len(self._pending) >= _MAX_PENDING:
            self._sort_in()

    def observe_all(self, values: list[float]) -> None:
        """Count each of `values`."""
        self._pending += values

    def _sort_in(self) -> None:
        pending = sorted(self._pending)
        self._pending.clear()
        self.total += sum(pending)
        below = 0
        for place, bound in enumerate(self.bounds):
            up_to = bisect_right(pending, bound)
            self.counts[place] += up_to - below
            below = up_to
        self.counts[-1] += len(pending) - below

    def lines(self, name: str, labels: str) -> Iterator[str]:
        """Give the lines of one series."""
        self._sort_in()
        running = 0
        for bound, count in zip((*map(float, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {float(running)}'
        yield f"{name}_count{{{labels}}} {float(running)}"
        yield f"{name}_sum{{{labels}}} {self.total}"


class Course(NamedTuple):
    """How one sequence went. Times in seconds."""

    finish_reason: str
    prompt_tokens: int
    tokens: int
    e2e: float
    inference: float
    prefill: float
    decode: float


class Load(Protocol):
    """What is going on now: read when the page is asked for."""

    @property
    def running(self) -> int:
        """Sequences that are being generated."""

    @property
    def waiting(self) -> int:
        """Sequences that wait for room."""

    @property
    def kv_usage(self) -> float:
        """Share of the KV cache that is held, 0 to 1."""


class Metering:
    """Counters and histograms since the start. Times in seconds."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = dict.fromkeys(_REASONS, 0)
        self.rejected = {"max_num_queued_reqs": 0, "max_num_queued_tokens": 0}
        self.iteration_tokens = Histogram(_STEP)
        self.request_prompt_tokens = Histogram(_COUNT)
        self.request_generation_tokens = Histogram(_COUNT)
        self.ttft = Histogram(_TTFT)
        self.itl = Histogram(_ITL)
        self.e2e = Histogram(_LATENCY)
        self.queue = Histogram(_LATENCY)
        self.prefill = Histogram(_LATENCY)
        self.decode = Histogram(_LATENCY)
        self.inference = Histogram(_LATENCY)
        self._of_course = (
            self.request_prompt_tokens,
            self.request_generation_tokens,
            self.e2e,
            self.inference,
            self.prefill,
            self.decode,
        )
        self._ended: list[Course] = []

    def ended(self, course: Course) -> None:
        """Count a finished sequence."""
        self._ended.append(course)
        if len(self._ended) >= _MAX_PENDING:
            self._sort_in()

    def _sort_in(self) -> None:
        if not self._ended:
            return
        reasons, *measured = zip(*self._ended, strict=True)
        for reason, count in Counter(reasons).items():
            self.finished[reason] += count
        for histogram, values in zip(self._of_course, measured, strict=True):
            histogram.observe_all(list(values))
        self._ended.clear()

    def page(self, model: str, load: Load) -> bytes:
        """Give the whole page."""
        self._sort_in()
        labels = f'engine="0",model_name="{_escaped(model)}"'
        lines = [*self._gauges(labels, load), *self._counters(labels, model), *self._histograms(labels)]
        return ("\n".join(lines) + "\n").encode()

    def _gauges(self, labels: str, load: Load) -> Iterator[str]:
        yield from _family("num_requests_running", "gauge", "Sequences being generated.")
        yield f"vllm:num_requests_running{{{labels}}} {float(load.running)}"
        yield from _family("num_requests_waiting", "gauge", "Sequences waiting for room.")
        yield f"vllm:num_requests_waiting{{{labels}}} {float(load.waiting)}"
        yield from _family("num_requests_waiting_by_reason", "gauge", "Sequences waiting, by why.")
        yield f'vllm:num_requests_waiting_by_reason{{{labels},reason="capacity"}} {float(load.waiting)}'
        yield f'vllm:num_requests_waiting_by_reason{{{labels},reason="deferred"}} 0.0'
        yield from _family("engine_sleep_state", "gauge", "1 for the state it is in.")
        for state, on in (("awake", 1.0), ("weights_offloaded", 0.0), ("discard_all", 0.0)):
            yield f'vllm:engine_sleep_state{{{labels},sleep_state="{state}"}} {on}'
        yield from _family("kv_cache_usage_perc", "gauge", "Share of the KV cache in use, 0 to 1.")
        yield f"vllm:kv_cache_usage_perc{{{labels}}} {load.kv_usage}"
        yield from _family("cache_config_info", "gauge", "Shape of the KV cache.")
        blocks = KV_CACHE_TOKENS // BLOCK_SIZE_TOKENS
        shape = (
            f'block_size="{BLOCK_SIZE_TOKENS}",cache_dtype="auto",enable_prefix_caching="True",engine="0",'
            f'kv_cache_size_tokens="{KV_CACHE_TOKENS}",num_gpu_blocks="{blocks}"'
        )
        yield f"vllm:cache_config_info{{{shape}}} 1.0"

    def _counters(self, labels: str, model: str) -> Iterator[str]:
        plain = (
            ("prefix_cache_queries_total", self.prompt_tokens, "Prompt tokens looked up."),
            ("prefix_cache_hits_total", 0, "Prompt tokens found: there is no cache."),
            ("num_preemptions_total", 0, "Sequences put back: none ever is."),
            ("prompt_tokens_total", self.prompt_tokens, "Prompt tokens taken in."),
            ("prompt_tokens_cached_total", 0, "Prompt tokens found in a cache."),
            ("generation_tokens_total", self.generation_tokens, "Tokens generated."),
        )
        for name, value, meaning in plain:
            yield from _family(name, "counter", meaning)
            yield f"vllm:{name}{{{labels}}} {float(value)}"
        yield from _family("request_success_total", "counter", "Sequences finished, by why.")
        for reason, count in self.finished.items():
            yield f'vllm:request_success_total{{engine="0",finished_reason="{reason}",model_name="{_escaped(model)}"}} {float(count)}'
        yield from _family("admission_rejections_total", "counter", "Requests refused for a full queue.")
        for reason, count in self.rejected.items():
            yield f'vllm:admission_rejections_total{{model_name="{_escaped(model)}",reason="{reason}"}} {float(count)}'

    def _histograms(self, labels: str) -> Iterator[str]:
        named = (
            ("request_prompt_tokens", self.request_prompt_tokens, "Prompt tokens of a finished sequence."),
            ("request_generation_tokens", self.request_generation_tokens, "Tokens of a finished sequence."),
            ("iteration_tokens_total", self.iteration_tokens, "Tokens of one step."),
            ("time_to_first_token_seconds", self.ttft, "From arrival to the first token."),
            ("inter_token_latency_seconds", self.itl, "Between two tokens."),
            ("e2e_request_latency_seconds", self.e2e, "From arrival to the last token."),
            ("request_queue_time_seconds", self.queue, "From arrival to the start."),
            ("request_inference_time_seconds", self.inference, "From the start to the last token."),
            ("request_prefill_time_seconds", self.prefill, "From the start to the first token."),
            ("request_decode_time_seconds", self.decode, "From the first token to the last."),
        )
        for name, histogram, meaning in named:
            yield from _family(name, "histogram", meaning)
            yield from histogram.lines(f"vllm:{name}", labels)


def _family(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return (f"# HELP vllm:{name} {meaning}", f"# TYPE vllm:{name} {kind}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
