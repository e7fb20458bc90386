"""Slots that are kept free for tenants below their share, and how many of them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admission import Admission, Ended, Fair, Lease, Ticket
from gateway.admission.reserve import FORGOTTEN_AFTER, Reserve
from gateway.balancer import POLICIES
from gateway.core.call import Principal, Tier
from gateway.fleet.pool import Pool
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.queueing import Caller, pool, replica

SLOTS = 10


class Place:
    """One model on one engine of ten slots, one of which may be kept free."""

    def __init__(self, *, slots: int = SLOTS, reserve: float = 0.1) -> None:
        self.clock = Clock()
        self.pool: Pool = pool(replica(room=slots))
        self.gate = Admission(POLICIES["least_requests"], clock=self.clock, ordering=Fair, reserve=reserve)
        self.held: dict[str, list[Lease]] = {}
        self.waiting: dict[str, list[Caller]] = {}

    def ask(self, tenant: str, tier: Tier = Tier.DEFAULT) -> bool:
        """One call of `tenant`. Whether it got a slot at once."""
        caller = Caller()
        now = self.clock()
        made = call(tier=tier, principal=Principal(tenant, "k"), arrived=now, deadline=now + 1000)
        found = self.gate.admit(self.pool, made, caller, made.deadline)
        if isinstance(found, Ticket):
            self.waiting.setdefault(tenant, []).append(caller)
            return False
        self.held.setdefault(tenant, []).append(found)
        return True

    def end(self, tenant: str) -> list[str]:
        """A call of `tenant` is over. Whose calls got a slot for it."""
        self.held[tenant].pop(0).release(Ended.WELL)
        return self.collect()

    def collect(self) -> list[str]:
        granted = []
        for name, callers in self.waiting.items():
            for caller in [caller for caller in callers if caller.lease]:
                callers.remove(caller)
                assert caller.lease is not None
                self.held.setdefault(name, []).append(caller.lease)
                granted.append(name)
        return granted


@pytest.fixture
def place() -> Place:
    """All slots are the flooder's, who has ten more that wait; the quiet tenant found none and now holds one."""
    made = Place()
    for _ in range(2 * SLOTS):
        made.ask("flood")
    assert not made.ask("quiet")
    made.end("flood")
    while not made.held.get("quiet"):
        made.end("flood")
    return made


def test_a_tenant_that_had_to_wait_finds_a_slot_the_next_time(place: Place) -> None:
    assert place.end("flood") == []  # kept
    assert place.ask("quiet")


def test_what_was_kept_and_taken_is_kept_again(place: Place) -> None:
    place.end("flood")
    assert place.ask("quiet")
    assert place.end("flood") == []
    assert place.end("flood") == ["flood"]
    assert place.ask("quiet")


def test_who_floods_does_not_get_what_is_kept(place: Place) -> None:
    place.end("flood")
    assert not place.ask("flood")
    for caller in place.waiting.pop("flood"):
        assert caller.lease is None
    assert not place.ask("flood")


def test_who_has_its_share_already_does_not_either(place: Place) -> None:
    for _ in range(SLOTS):
        place.end("flood")
        if not place.ask("quiet"):
            break
    assert len(place.held["quiet"]) == SLOTS // 3  # two tenants, and one more that may come


def test_flex_never_gets_what_is_kept(place: Place) -> None:
    place.end("flood")
    assert not place.ask("modest", Tier.FLEX)
    assert place.ask("modest", Tier.PRIORITY)


def test_one_that_is_modest_and_came_too_late_is_the_next_to_have_it(place: Place) -> None:
    place.end("flood")
    assert place.ask("quiet")
    assert not place.ask("third")
    assert place.end("flood") == ["third"]


def test_a_tenant_alone_has_all_of_it() -> None:
    place = Place()
    for _ in range(2 * SLOTS):
        place.ask("flood")
    assert len(place.held["flood"]) == SLOTS
    assert place.end("flood") == ["flood"]


def test_nothing_is_kept_when_nobody_came_for_it_for_a_while(place: Place) -> None:
    place.end("flood")
    place.gate.wake()
    assert place.collect() == []
    place.clock.advance(FORGOTTEN_AFTER + 1)
    place.gate.wake()
    assert place.collect() == ["flood"]


@pytest.mark.parametrize("options", [{"reserve": 0.0}, {"slots": 7}])
def test_nothing_is_kept_where_that_is_switched_off_or_would_be_too_large_a_part(options: Any) -> None:
    place = Place(**options)
    for _ in range(2 * SLOTS):
        place.ask("flood")
    place.ask("quiet")
    for _ in range(SLOTS):
        assert place.end("flood")


def test_as_much_is_kept_as_was_missing() -> None:
    reserve = Reserve(0.05)
    assert reserve.kept(100, 0.0) == 0
    for _ in range(3):
        reserve.asked(100, 1.0, was_free=False)
    assert reserve.kept(100, 1.0) == 3
    for _ in range(34):
        reserve.asked(100, 1.0, was_free=True)
    assert reserve.kept(100, 1.0) == 2
    for _ in range(200):
        reserve.asked(100, 1.0, was_free=True)
    assert reserve.kept(100, 1.0) == 0
    assert reserve.is_empty


def test_never_more_than_the_share_is_kept() -> None:
    reserve = Reserve(0.05)
    for _ in range(50):
        reserve.asked(100, 1.0, was_free=False)
    assert reserve.kept(100, 1.0) == 5
    assert reserve.kept(40, 1.0) == 2  # engines went
    assert reserve.kept(8, 1.0) == 1
    assert reserve.kept(7, 1.0) == 0
