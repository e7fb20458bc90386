"""Fair, in what counts: tokens over time, with the real admission and time that is only told."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from functools import partial

import pytest

from gateway.admission import Ended, Fair, Fifo
from gateway.admission.cost import Estimator
from gateway.admission.orderings.shares import Shares
from gateway.admission.queue import Queue
from gateway.core.call import Tier
from gateway.core.errors import GatewayError, TooLate
from tests.support.queueing import SECONDS_PER_TOKEN, Counter, jain

CALL_SECONDS = 10 * SECONDS_PER_TOKEN


def check_a_flood_takes_no_more_than_its_share(ordering: Callable[[], Fair | Fifo] = Fair) -> None:
    """64 at once, of long answers that nobody could foresee, against 8 at once of short ones."""
    counter = Counter(room=4, ordering=ordering)
    counter.keep_asking("flood", 64, tokens=300, prompt=500)
    counter.keep_asking("quiet", 8, tokens=40, prompt=30)
    counter.run(600.0)
    assert jain([counter.served["flood"], counter.served["quiet"]]) >= 0.95


def check_time_without_requests_earns_nothing() -> None:
    counter = Counter()
    counter.keep_asking("busy", 8)
    counter.keep_asking("other", 8)
    counter.run(60.0)
    counter.keep_asking("late", 8)
    before = dict(counter.served)
    counter.run(70.0)
    given = {tenant: counter.served[tenant] - before.get(tenant, 0.0) for tenant in counter.served}
    assert jain(list(given.values())) >= 0.99


def check_who_asks_little_is_not_kept_waiting() -> None:
    counter = Counter(room=4)
    counter.keep_asking("flood", 64, tokens=100)
    counter.run(20.0)
    asked = []
    for _ in range(20):
        asked.append(counter.ask("quiet", tokens=5))
        counter.run(counter.clock() + 3.0)
    assert max(each.waited for each in asked) <= 100 * SECONDS_PER_TOKEN


def check_what_an_engine_had_in_its_cache_is_not_charged() -> None:
    counter = Counter()
    counter.keep_asking("cached", 8, prompt=1000, cached=990)
    counter.keep_asking("fresh", 8, prompt=1000)
    counter.run(400.0)
    calls = {
        tenant: sum(each.call.principal.tenant == tenant for each in counter.done)
        for tenant in counter.served
    }
    assert calls["cached"] / calls["fresh"] == pytest.approx(1020 / 30, rel=0.1)


def check_priority_goes_before_a_flood_of_flex() -> None:
    counter = Counter(room=4, replicas=2)
    counter.keep_asking("batch", 64, tier=Tier.FLEX)
    counter.run(10.0)
    asked = []
    for _ in range(50):
        asked.append(counter.ask("person", tier=Tier.PRIORITY))
        counter.run(counter.clock() + 0.7)
    assert max(each.waited for each in asked) <= CALL_SECONDS + 1e-6


def check_no_tier_starves() -> None:
    counter = Counter(ordering=partial(Fair, guarantee=0.1))
    counter.keep_asking("person", 16, tier=Tier.PRIORITY)
    counter.keep_asking("batch", 16, tier=Tier.FLEX)
    counter.run(100.0)
    total = counter.served["person"] + counter.served["batch"]
    assert counter.served["batch"] / total == pytest.approx(0.1, rel=0.2)


def check_nothing_is_begun_when_its_time_is_over() -> None:
    """`Asked.granted` insists on it."""
    rng = random.Random(3)
    counter = Counter(room=2)
    for _ in range(300):
        tenant = rng.choice("abc")
        counter.at(
            rng.uniform(0, 20),
            partial(
                _ask_if_let,
                counter,
                tenant,
                patience=rng.choice((0.05, 0.3, 2.0)),
                tier=rng.choice(list(Tier)),
            ),
        )
    counter.run(60.0)
    assert 20 < len(counter.done) < 280
    assert counter.admission.waiting("m") == 0


def _ask_if_let(counter: Counter, tenant: str, **how: object) -> None:
    with contextlib.suppress(TooLate):
        counter.ask(tenant, **how)  # type: ignore[arg-type]


CHECKS = [
    check_a_flood_takes_no_more_than_its_share,
    check_time_without_requests_earns_nothing,
    check_who_asks_little_is_not_kept_waiting,
    check_what_an_engine_had_in_its_cache_is_not_charged,
    check_priority_goes_before_a_flood_of_flex,
    check_no_tier_starves,
    check_nothing_is_begun_when_its_time_is_over,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_it_holds(check: Callable[[], None]) -> None:
    check()


def test_first_come_first_served_is_not_fair() -> None:
    """What the others are measured against: the flood takes the queue."""
    with pytest.raises(AssertionError):
        check_a_flood_takes_no_more_than_its_share(Fifo)


def test_shares_follow_weights() -> None:
    counter = Counter(room=2)
    counter.keep_asking("paying", 32, weight=3.0, tokens=30)
    counter.keep_asking("other", 32, tokens=7)
    counter.run(200.0)
    assert counter.served["paying"] / counter.served["other"] == pytest.approx(3.0, rel=0.05)


def test_many_tenants_have_equal_shares() -> None:
    rng = random.Random(11)
    counter = Counter(room=8, replicas=2)
    for number in range(20):
        counter.keep_asking(
            f"t{number}", rng.randint(17, 40), tokens=rng.randint(1, 60), prompt=rng.randint(1, 200)
        )
    counter.run(400.0)
    assert jain(list(counter.served.values())) >= 0.95


def test_without_a_guarantee_a_tier_starves() -> None:
    counter = Counter(ordering=partial(Fair, guarantee=0.0))
    counter.keep_asking("person", 4, tier=Tier.PRIORITY)
    counter.keep_asking("batch", 4, tier=Tier.FLEX)
    counter.run(50.0)
    assert counter.served["batch"] == 0


def test_flex_has_what_others_leave() -> None:
    counter = Counter(room=4)
    counter.keep_asking("batch", 16, tier=Tier.FLEX)
    counter.keep_asking("person", 1, tier=Tier.PRIORITY)
    counter.run(100.0)
    alone = 4 * 100.0 / CALL_SECONDS * (20 + 2 * 10)
    assert counter.served["batch"] + counter.served["person"] >= 0.99 * alone
    assert counter.served["batch"] >= 0.7 * alone


@pytest.mark.parametrize("ended", [Ended.BUSY, Ended.REFUSED, Ended.FAILED])
def test_a_call_that_an_engine_did_not_do_is_not_charged(ended: Ended) -> None:
    counter = Counter()
    asked = counter.ask("t")
    counter.run(100.0)
    queue = counter.admission._queues["m"]
    before = counter.served["t"]
    assert queue.ordering._shares[Tier.DEFAULT]._floor >= before
    queue.ordering._shares[Tier.DEFAULT]._floor = before
    lease = counter.admission._lease(queue, asked.call, counter.replicas)
    assert lease is not None
    lease.release(ended)
    assert queue.ordering._shares[Tier.DEFAULT]._tenants["t"].counter == pytest.approx(before)


def no_lift(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Shares, "_lift", lambda self, tenant: None)
    real = Shares._tenant

    def from_nothing(self: Shares, principal: object) -> object:
        is_new = principal.tenant not in self._tenants  # type: ignore[attr-defined]
        tenant = real(self, principal)  # type: ignore[arg-type]
        if is_new:
            tenant.counter = 0.0
        return tenant

    patch.setattr(Shares, "_tenant", from_nothing)


def no_correction(patch: pytest.MonkeyPatch) -> None:
    def correct(self: Shares, principal: object, difference: float) -> None:
        self._tenants[principal.tenant].running -= 1  # type: ignore[attr-defined]

    patch.setattr(Shares, "correct", correct)


def no_charge(patch: pytest.MonkeyPatch) -> None:
    real = Shares.charge
    patch.setattr(Shares, "charge", lambda self, principal, cost: real(self, principal, 0.0))
    real_correct = Shares.correct
    patch.setattr(Shares, "correct", lambda self, principal, difference: real_correct(self, principal, 0.0))


def cached_tokens_count(patch: pytest.MonkeyPatch) -> None:
    real = Estimator.learn
    patch.setattr(
        Estimator,
        "learn",
        lambda self, envelope, usage: real(self, envelope, usage._replace(cached_tokens=0)),
    )


def tiers_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    from gateway.admission.orderings import fair

    patch.setattr(fair, "_DOWNWARDS", tuple(Tier))


def guarantee_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fair, "_credit", lambda self, granted: None)


def expired_are_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Queue, "evict_expired", lambda self, now: None)
    patch.setattr(Queue, "evict_late", lambda self, ticket, now: False)


def risen_counters_do_not_sink(patch: pytest.MonkeyPatch) -> None:
    def least(self: Shares) -> object:
        while self._order and self._order[0][1] != self._order[0][2].entry:
            self._order.pop(0)
        return self._order[0][2] if self._order else None

    patch.setattr(Shares, "_least", least)


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (no_lift, check_time_without_requests_earns_nothing),
        (no_correction, check_a_flood_takes_no_more_than_its_share),
        (no_charge, check_a_flood_takes_no_more_than_its_share),
        (cached_tokens_count, check_what_an_engine_had_in_its_cache_is_not_charged),
        (tiers_are_not_looked_at, check_priority_goes_before_a_flood_of_flex),
        (guarantee_is_not_kept, check_no_tier_starves),
        (expired_are_kept, check_nothing_is_begun_when_its_time_is_over),
        (risen_counters_do_not_sink, check_who_asks_little_is_not_kept_waiting),
    ],
    ids=lambda each: each.__name__.removeprefix("check_"),
)
def test_what_would_break_it_is_noticed(
    plant: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    check()
    plant(monkeypatch)
    with pytest.raises((AssertionError, GatewayError)):
        check()
