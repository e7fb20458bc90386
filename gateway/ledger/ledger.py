"""The event loop's side of the ledger: one record for each call that is sent to an engine.

`began` is called in the same step in which the call is sent, before it; `ended` once, when it is over. Neither waits for
anything. The clock is the wall's: records outlive the process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from msgspec import structs

from gateway.core.call import Call
from gateway.core.outcome import End, Outcome
from gateway.ledger.cost import Price
from gateway.ledger.records import Began, Ended, Progress, Who, encode

_MOST_TOKENS = 2**53
"""What a request may say of its answers is not bounded; a record's numbers are."""
NO_PRICES: Mapping[str, Price] = MappingProxyType({})
BYTES_PER_TOKEN = 4
"""Of a prompt whose tokens no engine has told, as a rule of thumb for English."""


class Sink(Protocol):
    """Where records go."""

    @property
    def is_full(self) -> bool:
        """Whether no new work should be begun."""
        ...

    def append(self, payload: bytes) -> None:
        """Take a record. Never raises and never waits."""
        ...


class Open:
    """A record of a call that is not over."""

    __slots__ = ("began", "tokens")

    def __init__(self, began: Began) -> None:
        self.began = began
        self.tokens = 0


class Ledger:
    """Writes to `sink`. `now` gives Unix seconds; `rng` the part of ids that no other process has.

    With `serves_unrecorded`, work goes on while the sink takes nothing. `prices` are by model.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        now: Callable[[], float],
        rng: random.Random,
        serves_unrecorded: bool = False,
        prices: Mapping[str, Price] = NO_PRICES,
    ) -> None:
        self._sink = sink
        self._now = now
        self._prefix = f"{int(now() * 1000):011x}{rng.getrandbits(64):016x}-"
        self._count = 0
        self._open: dict[str, Open] = {}
        self._tokens: dict[str, list[int]] = {}
        self._serves_unrecorded = serves_unrecorded
        self._prices = prices

    def __repr__(self) -> str:
        return f"<Ledger {len(self._open)} open of {self._count}>"

    @property
    def is_full(self) -> bool:
        """Whether new work is to be refused, since it could not be recorded."""
        return self._sink.is_full and not self._serves_unrecorded

    @property
    def open(self) -> int:
        """Calls that have begun and not ended."""
        return len(self._open)

    @property
    def count(self) -> int:
        """Calls that have begun."""
        return self._count

    def began(self, call: Call, replica: str) -> Open:
        """A call is about to be sent to `replica`."""
        self._count = count = self._count + 1
        principal, envelope = call.principal, call.envelope
        record = Open(
            Began(  # in the order of its fields: by name, it takes longer
                f"{self._prefix}{count:x}",
                self._now(),
                Who(
                    call.id,
                    principal.organisation,
                    principal.tenant,
                    principal.user or "",
                    principal.key_id,
                    call.model,
                    call.operation,
                    int(call.tier),
                    envelope.stream,
                    call.asked or "",
                ),
                replica,
                len(envelope.body) // BYTES_PER_TOKEN,
                min((envelope.most_tokens or 0) * envelope.answers, _MOST_TOKENS),
            )
        )
        payload = encode(record.began)  # first: what cannot be written down is not open
        self._open[record.began.id] = record
        self._sink.append(payload)
        return record

    def moved(self, record: Open, call: Call, replica: str) -> None:
        """What was open is about to be sent to `replica` as `call`, for another model than before."""
        began = record.began
        who = structs.replace(began.who, model=call.model)
        record.began = structs.replace(began, who=who, replica=replica)
        self._sink.append(encode(record.began))

    def progressed(self, record: Open, tokens: int) -> None:
        """So many tokens of its stream have reached the client; what was told before is not told again."""
        if tokens != record.tokens:
            record.tokens = tokens
            self._sink.append(encode(Progress(record.began.id, tokens)))

    def ended(self, record: Open, end: End) -> None:
        """A call is over. To be called once."""
        began = record.began
        del self._open[began.id]
        usage = end.usage
        if usage is not None:
            prompt, cached, completion = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
        else:  # an engine counts a prompt when the first token of its answer is there
            completion = end.delivered
            prompt, cached = (began.prompt_estimate if completion else 0), 0
        prompt, cached, completion = max(prompt, 0), max(cached, 0), max(completion, 0)
        sums = self._tokens.get(end.replica or began.replica)
        if sums is None:
            sums = self._tokens[end.replica or began.replica] = [0, 0]
        sums[0] += prompt
        sums[1] += completion
        price = self._prices.get(began.who.model)
        dispatched, first = end.dispatched, end.first_content
        self._sink.append(
            encode(
                Ended(
                    began.id,
                    self._now(),
                    began.who,
                    end.outcome.value,
                    end.status,
                    end.code,
                    end.replica,
                    end.attempts,
                    prompt,
                    cached,
                    completion,
                    usage is None and end.outcome is not Outcome.CLIENT_ERROR,
                    None if dispatched is None else int((dispatched - end.arrived) * 1000),
                    None if first is None else int((first - end.arrived) * 1000),
                    int((end.ended - end.arrived) * 1000),
                    None if price is None else price.of(prompt, cached, completion),
                )
            )
        )

    def tokens(self, replica: str) -> tuple[int, int]:
        """Prompt and completion tokens of all calls of this process at `replica`, of running ones as far as they are."""
        prompt, completion = self._tokens.get(replica, (0, 0))
        for record in self._open.values():
            if record.tokens and record.began.replica == replica:
                prompt += record.began.prompt_estimate
                completion += record.tokens
        return prompt, completion

    def carry(self) -> None:
        """Write all that is open once more, so that what it was written in before can go."""
        for record in self._open.values():
            self._sink.append(encode(record.began))
            if record.tokens:
                self._sink.append(encode(Progress(record.began.id, record.tokens)))
