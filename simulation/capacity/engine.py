"""A model of vLLM V1's scheduler: continuous batching in steps, chunked prefill, KV blocks, preemption.

In each step every running sequence whose prompt is done gets one token, and what is left of `max_num_batched_tokens` is
spent on prompts, the earliest first; a step's length follows from what is in it. The first token of an answer comes with
the step that ends its prompt. A sequence that finds no block for its next token has the last that came give up all of
its own; that one begins again, from the front of the queue, with what it had made as part of its prompt.

A sequence in the middle of its answer is not looked at in every step, but only when it needs a block (every
`block_tokens` steps) and when it ends: what a step costs to simulate does not grow with what runs in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from simulation.capacity.blocks import Blocks
from simulation.capacity.sequence import Sequence
from simulation.capacity.speed import Speed
from simulation.capacity.weighted import Weighted

PULSE_SECONDS = 1.0
"""So often those who wait for a long answer are told how far it is."""


class Timers(Protocol):
    """As much of an event loop as an engine needs."""

    def time(self) -> float:
        """Seconds."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> object:
        """Call `callback` after `delay` seconds."""
        ...


@dataclass
class Work:
    """What an engine has done so far."""

    steps: int = 0
    busy_seconds: float = 0.0
    prefilled_tokens: int = 0
    generated_tokens: int = 0
    queried_tokens: int = 0
    """Of prompts that were begun, the cached ones included."""
    cached_tokens: int = 0
    preemptions: int = 0
    finished: int = 0
    aborted: int = 0
    occupied_seconds: float = 0.0
    """Sequence-seconds, waiting ones included."""


class Engine:
    """One engine. Everything happens on the loop that `timers` is."""

    def __init__(self, name: str, speed: Speed, timers: Timers) -> None:
        self.name = name
        self.speed = speed
        self.blocks = Blocks(speed.kv_blocks)
        self.work = Work()
        self.gaps = Weighted()
        """Seconds between two tokens of one answer."""
        self._timers = timers
        self._waiting: deque[Sequence] = deque()
        self._running: dict[Sequence, None] = {}
        self._prefilling: dict[Sequence, None] = {}
        self._completing: list[Sequence] = []
        self._decoding = 0
        self._context = 0
        """Tokens of context of those that decode, as of the last step's end."""
        self._growing: list[dict[Sequence, None]] = [{} for _ in range(speed.block_tokens)]
        """Those that need a block in a step, by the step's number modulo `block_tokens`."""
        self._ending: dict[int, list[Sequence]] = {}
        self._is_stepping = False
        self._step_seconds = 0.0
        self._pulse_at = 0.0
        self._changed_at = timers.time()

    def __repr__(self) -> str:
        return f"<Engine {self.name}: {self.running} running, {self.waiting} waiting, {self.blocks!r}>"

    @property
    def running(self) -> int:
        """As vLLM's `num_requests_running`."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """As vLLM's `num_requests_waiting`."""
        return len(self._waiting)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence that fits into `max_model_len`."""
        self._occupy()
        self._waiting.append(sequence)
        if not self._is_stepping:
            self._is_stepping = True
            self._timers.call_later(0.0, self._begin)

    def abort(self, sequence: Sequence) -> None:
        """End a sequence; its blocks are free when this returns. Nothing happens to one that is over."""
        if sequence.is_over:
            return
        self._occupy()
        sequence.made = sequence.made_by(self.work.steps)
        sequence.worked = self._worked_by_now(sequence)
        sequence.is_over = True
        self.work.aborted += 1
        if sequence in self._running:
            self._give_up(sequence)
        else:
            self._waiting.remove(sequence)

    def worked(self, sequence: Sequence) -> int:
        """Tokens computed for `sequence` so far."""
        return sequence.worked if sequence.is_over else self._worked_by_now(sequence)

    def counted(self) -> Work:
        """What it has done by now."""
        self._occupy()
        return self.work

    # --- a step

    def _begin(self) -> None:
        """Decide what is in the next step, and let its time pass."""
        step = self.work.steps + 1
        is_short = self._grow(step)
        budget = self.speed.max_num_batched_tokens - self._decoding
        prefilled, was_short = self._prefill(budget)
        if not (is_short or was_short):
            prefilled += self._admit(budget - prefilled)
        if not self._running:
            self._is_stepping = False  # whoever comes next begins it again
            return
        self.work.prefilled_tokens += prefilled
        sequences = self._decoding + len(self._completing)
        self._step_seconds = self.speed.step_seconds(prefilled, sequences, self._context + self._decoding)
        self._timers.call_later(self._step_seconds, self._finish)

    def _grow(self, step: int) -> bool:
        """Find a block for each that needs one. Whether another had to give way."""
        is_short = False
        phase = step % self.speed.block_tokens
        for sequence in list(self._growing[phase]):
            if not sequence.is_decoding:
                continue  # gave way a moment ago
            self._know(sequence, sequence.context + step - 1 - sequence.since)
            while not self.blocks.take(1):
                is_short = True
                last = next(reversed(self._running))
                self._preempt(last)
                if last is sequence:
                    break
            else:
                sequence.loose += 1
                sequence.blocks += 1
        return is_short

    def _prefill(self, budget: int) -> tuple[int, bool]:
        """Go on with the prompts that are begun. Tokens of them, and whether a block was missing."""
        spent = 0
        for sequence in list(self._prefilling):
            if sequence not in self._prefilling:
                continue
            if spent >= budget:
                break
            chunk = min(sequence.target - sequence.computed, budget - spent)
            while not self._extend(sequence, chunk):
                last = next(reversed(self._running))
                self._preempt(last)
                if last is sequence:
                    return spent, True
            spent += chunk
        return spent, False

    def _admit(self, budget: int) -> int:
        """Begin prompts from the queue while there is room for all of each. Tokens of them."""
        spent, speed, waiting = 0, self.speed, self._waiting
        while waiting and spent < budget and len(self._running) < speed.max_num_seqs:
            sequence = waiting[0]
            keys = self._usable(sequence)
            needed = -(-sequence.target // speed.block_tokens) - len(keys)
            if needed > self.blocks.room_beside(keys):
                break
            waiting.popleft()
            self.blocks.share(keys)
            sequence.keys = list(keys)
            sequence.blocks = len(keys)
            sequence.computed = cached = len(keys) * speed.block_tokens
            if sequence.cached is None:
                sequence.cached = cached
                self.work.queried_tokens += sequence.target
                self.work.cached_tokens += cached
            self._running[sequence] = self._prefilling[sequence] = None
            chunk = min(sequence.target - cached, budget - spent)
            self._extend(sequence, chunk)
            spent += chunk
        return spent

    def _usable(self, sequence: Sequence) -> list[int]:
        """Blocks of its prompt that are there, but for the last token: that one has to be computed."""
        if not self.speed.prefix_caching:
            return []
        size = self.speed.block_tokens
        if not sequence.prompt_keys or len(sequence.prompt_keys) < sequence.target // size:
            sequence.prompt_keys = sequence.prompt.keys(sequence.target, size)
        keys = sequence.prompt_keys
        return keys[: min(self.blocks.hits(keys), (sequence.target - 1) // size)]

    def _extend(self, sequence: Sequence, chunk: int) -> bool:
        """Compute so many tokens more of a prompt in this step. `False` when there is no block for them."""
        needed = -(-(sequence.computed + chunk) // self.speed.block_tokens) - sequence.blocks
        if needed and not self.blocks.take(needed):
            return False
        sequence.blocks += needed
        sequence.loose += needed
        sequence.computed += chunk
        sequence.worked += chunk
        if self.speed.prefix_caching:
            full = sequence.computed // self.speed.block_tokens
            for key in sequence.prompt_keys[max(full - chunk // self.speed.block_tokens - 1, 0) : full]:
                self._name(sequence, key)
        if sequence.computed == sequence.target:
            del self._prefilling[sequence]
            self._completing.append(sequence)
        return True

    def _know(self, sequence: Sequence, context: int) -> None:
        """The last of so many tokens filled a block."""
        size = self.speed.block_tokens
        if self.speed.prefix_caching and context and context % size == 0:
            self._name(sequence, sequence.prompt.key(context // size - 1, size))

    def _name(self, sequence: Sequence, key: int) -> None:
        if (not sequence.keys or sequence.keys[-1] % (1 << 24) < key % (1 << 24)) and self.blocks.name(key):
            sequence.loose -= 1
            sequence.keys.append(key)

    def _finish(self) -> None:
        """The step's time has passed: tell of its tokens, then begin the next."""
        work, now = self.work, self._timers.time()
        self._occupy()
        work.steps += 1
        step = work.steps
        work.busy_seconds += self._step_seconds
        if self._decoding:
            work.generated_tokens += self._decoding
            self._context += self._decoding
            self.gaps.add(self._step_seconds, self._decoding)
        completing, self._completing = self._completing, []
        ending = self._ending.pop(step, ())
        for sequence in completing:
            self._first(sequence, step, now)
        for sequence in ending:
            if sequence.is_decoding and sequence.completes == step:
                self._done(sequence)
        if now - self._pulse_at >= PULSE_SECONDS:
            self._pulse_at = now
            for sequence in list(self._running):
                if sequence.is_decoding:
                    sequence.receiver.on_progress(sequence, sequence.made_by(step))
        self._begin()

    def _first(self, sequence: Sequence, step: int, now: float) -> None:
        """The prompt is done, and with it comes a token."""
        if sequence.is_over or sequence.computed != sequence.target:
            return  # aborted or preempted meanwhile
        self.work.generated_tokens += 1
        if sequence.paused_at is not None:
            self.gaps.add(now - sequence.paused_at, 1)
            sequence.paused_at = None
        is_first = sequence.made == 0
        sequence.made += 1
        sequence.since = step
        if sequence.made < sequence.tokens:
            self._decode(sequence, step)
            if is_first:
                sequence.receiver.on_first(sequence)
            return
        if is_first:
            sequence.receiver.on_first(sequence)
        if not sequence.is_over:  # whoever was told may have left
            self._done(sequence)

    def _decode(self, sequence: Sequence, step: int) -> None:
        sequence.is_decoding = True
        sequence.context = sequence.target
        sequence.completes = step + sequence.tokens - sequence.made
        self._decoding += 1
        self._context += sequence.context
        self._growing[self._phase(sequence)][sequence] = None
        self._ending.setdefault(sequence.completes, []).append(sequence)

    def _phase(self, sequence: Sequence) -> int:
        """When the token that is stored begins a block, in steps modulo `block_tokens`."""
        return (sequence.since + 1 - sequence.context) % self.speed.block_tokens

    def _done(self, sequence: Sequence) -> None:
        sequence.made = sequence.made_by(self.work.steps)
        sequence.worked = self._worked_by_now(sequence)
        sequence.is_over = True
        self.work.finished += 1
        self._give_up(sequence)
        sequence.receiver.on_done(sequence)

    # --- leaving

    def _preempt(self, sequence: Sequence) -> None:
        """Take all blocks of a running sequence; it waits, before all others, to begin again."""
        self.work.preemptions += 1
        sequence.worked = self._worked_by_now(sequence)
        sequence.made = sequence.made_by(self.work.steps)
        if sequence.made:
            sequence.paused_at = self._timers.time() if sequence.paused_at is None else sequence.paused_at
        self._give_up(sequence)
        sequence.target = sequence.prompt.tokens + sequence.made
        sequence.computed = 0
        self._waiting.appendleft(sequence)

    def _give_up(self, sequence: Sequence) -> None:
        """A running sequence leaves: nothing of it stays."""
        if sequence.is_decoding:
            context = sequence.context + self.work.steps - sequence.since
            self._know(sequence, context)
            self._decoding -= 1
            self._context -= context
            del self._growing[self._phase(sequence)][sequence]
            sequence.is_decoding = False
        del self._running[sequence]
        self._prefilling.pop(sequence, None)
        if sequence in self._completing:
            self._completing.remove(sequence)
        self.blocks.release(sequence.keys, sequence.loose)
        sequence.keys, sequence.loose, sequence.blocks = [], 0, 0

    def _worked_by_now(self, sequence: Sequence) -> int:
        return sequence.worked + (self.work.steps - sequence.since if sequence.is_decoding else 0)

    def _occupy(self) -> None:
        """Count the time that sequences spent here, before their number changes."""
        now = self._timers.time()
        self.work.occupied_seconds += (now - self._changed_at) * (len(self._running) + len(self._waiting))
        self._changed_at = now
