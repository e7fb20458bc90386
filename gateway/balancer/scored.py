"""The replica on which a call costs least: a sum of named terms, in tokens of prompt.

    prefill   tokens of the call's prompt that are not expected in the replica's cache
    held      tokens that the calls it holds still need, for its size; a token of an answer counts as four
    foreign   the same for sequences of others, by the engine's own count: the older that is, the less
    kv        grows as the engine's KV cache fills up: it would put sequences back, and compute them again
    slow      what all that takes longer there than with its peers, beyond what chance makes of it

Our own count of what it holds is exact and at once, so that and not the engine's word decides between two that are
alike. Among those that cost nearly the same the turn decides. Nothing brings a replica above its bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.balancer.base import MOST_WEIGHED, Policy
from gateway.balancer.bound import within_bound
from gateway.balancer.errors import Errors
from gateway.balancer.prefixes import BLOCK_BYTES, Prefixes, blocks_of
from gateway.balancer.trust import Trust
from gateway.balancer.work import DECODE_WEIGHT, Estimates, Work
from gateway.core.call import Call
from gateway.core.outcome import Choice, Usage
from gateway.fleet.replica import Replica

if TYPE_CHECKING:
    from gateway.balancer.precise import Knowledge, Told

TERMS = ("prefill", "held", "foreign", "kv", "slow")
NEAR = 0.05
"""What costs so much more is nearly the same: estimates are not better than that."""
KV_TIGHT = 0.85
"""Share of a KV cache from which on there is little room."""
KV_CALLS = 4.0
"""Calls that a full KV cache weighs as much as."""
USUAL_SLOWNESS = 2.0
"""Times as long as its peers that one long prompt can make a replica seem to take. To follow that would be to follow
chance: it made first tokens a fifth later than fewest calls did (config/scenarios/unique-prompts.yaml)."""
_KEEP_EVERY = 1024


class Scored:
    """See above. `trust`, `prefixes` and `errors` are read for metrics. `knowledge` is of what engines say they have."""

    __slots__ = (
        "_chain",
        "_chain_of",
        "_estimates",
        "_knowledge",
        "_several",
        "_told",
        "_told_of",
        "_turn",
        "choice",
        "errors",
        "prefixes",
        "trust",
    )

    def __init__(self, knowledge: Knowledge | None = None) -> None:
        self._estimates = Estimates()
        self._knowledge = knowledge
        self._told: Told | None = None
        self._told_of: Call | None = None
        self.prefixes = Prefixes()
        self.trust = Trust()
        self.errors = Errors()
        """Of what engines said, against the guesses."""
        self.choice: Choice | None = None
        self._turn = 0
        self._several = False
        """There was a choice between replicas: what one was sent matters."""
        self._chain: list[int] = []
        self._chain_of: Call | None = None

    def choose(self, replicas: Sequence[Replica], call: Call) -> Replica | None:
        """See `Policy.choose`."""
        self.choice = None
        if len(replicas) == 1:
            return replicas[0] if replicas[0].has_room() else None
        self._several = True
        if self._knowledge is not None:
            self._look(self._knowledge, replicas, call)
        self._turn += 1
        if self._turn % _KEEP_EVERY == 0:
            self.prefixes.keep(replicas)
            self.errors.keep(replicas)
        candidates = within_bound(replicas)
        if not candidates:
            return None
        weighed = self._weigh(candidates, call)
        best = min([cost for cost, _ in weighed])
        enough = best + best * NEAR
        near = [at for at, (cost, _) in enumerate(weighed) if cost <= enough]
        place = near[self._turn % len(near)]
        shown = range(len(weighed)) if len(weighed) <= MOST_WEIGHED else [place]
        chosen = candidates[place]
        self.choice = Choice(
            TERMS,
            tuple([(candidates[at].endpoint.id, weighed[at][0], weighed[at][1]) for at in shown]),
            self._cached(chosen, call),
        )
        return chosen

    def took(self, replica: Replica, call: Call) -> Work:
        """See `Policy.took`."""
        estimates = self._estimates
        guessed, told = 0, None
        if self._several:
            guessed, told = self._guessed(replica, call), self._said(replica, call)
            self.prefixes.sent(replica, self._blocks(call))
            prompt = self._prompt(call)
            if told is not None and self._told is not None:
                self._told.sent(replica)
            self._chain_of = self._told_of = self._told = None  # or its body would be kept
        else:
            prompt = estimates.prompt(call)
        cached = guessed if told is None or not self.errors.prefers_told else told
        return Work(
            prompt - min(cached, prompt), estimates.decode(call), guessed, len(call.envelope.body), told
        )

    def ended(self, replica: Replica, work: Work, usage: Usage) -> None:
        """See `Policy.ended`."""
        self._estimates.learn(work, usage)
        if self._several:
            self.trust.take(replica, work.cached, usage)
            if work.told is not None:
                self.errors.take(replica, work.told, work.cached, usage)

    def _look(self, knowledge: Knowledge, replicas: Sequence[Replica], call: Call) -> None:
        if self._told_of is not call:  # one that waits is chosen for more than once
            self._told_of, self._told = call, knowledge.look(call, replicas)

    def _weigh(self, replicas: Sequence[Replica], call: Call) -> list[tuple[float, tuple[float, ...]]]:
        """Cost and terms of each."""
        estimates = self._estimates
        said = [self._said(r, call) for r in replicas] if self._told is not None else []
        prompt, usual = self._prompt(call), DECODE_WEIGHT * estimates.decode(call)
        each = prompt + usual
        is_trusted = self.trust.is_given
        prefers_told = bool(said) and self.errors.prefers_told
        chain = self._blocks(call)
        block = BLOCK_BYTES / estimates.bytes_per_token
        matched = self.prefixes.matched
        most = max([r.limit for r in replicas])
        weighed: list[tuple[float, tuple[float, ...]]] = []
        for at, r in enumerate(replicas):
            told = said[at] if prefers_told else None
            if told is not None:
                prefill = float(max(0, prompt - told))
            else:
                prefill = max(0.0, prompt - matched(r, chain) * block) if is_trusted else float(prompt)
            held = (r.prefill_tokens + DECODE_WEIGHT * r.decode_tokens) * (most / r.limit)
            foreign = kv = 0.0
            if r.freshness:
                foreign, kv = _reported(r, each)
            cost = prefill + held + foreign + kv
            slow = cost * max(0.0, r.pace.slowness - USUAL_SLOWNESS)
            weighed.append((cost + slow, (prefill, held, foreign, kv, slow)))
        return weighed

    def _cached(self, replica: Replica, call: Call) -> int:
        told = self._said(replica, call) if self.errors.prefers_told else None
        return self._guessed(replica, call) if told is None else told

    def _said(self, replica: Replica, call: Call) -> int | None:
        """Tokens of the prompt that the replica has in its cache, by its engine's word."""
        return None if self._told is None or self._told_of is not call else self._told.cached(replica)

    def _prompt(self, call: Call) -> int:
        """Tokens of the prompt: counted where it was made into tokens, else by estimate."""
        counted = self._told.tokens if self._told is not None and self._told_of is call else None
        return self._estimates.prompt(call) if counted is None else counted

    def _guessed(self, replica: Replica, call: Call) -> int:
        matched = self.prefixes.matched(replica, self._blocks(call))
        return int(matched * BLOCK_BYTES / self._estimates.bytes_per_token)

    def _blocks(self, call: Call) -> list[int]:
        """Made once for a call that is chosen for and then taken."""
        if self._chain_of is not call:
            self._chain_of, self._chain = call, blocks_of(call)
        return self._chain


def _reported(replica: Replica, each: float) -> tuple[float, float]:
    """What the engine's own word adds, where a call is worth `each` tokens."""
    load, fresh = replica.seen.load, replica.freshness
    if load is None:
        return 0.0, 0.0
    kv = 0.0
    if load.kv_usage is not None and load.kv_usage > KV_TIGHT:
        kv = fresh * each * KV_CALLS * (load.kv_usage - KV_TIGHT) / (1.0 - KV_TIGHT)
    return fresh * each * replica.seen.foreign(), kv


_: type[Policy] = Scored
