"""What every policy must do, over all there are, and what each one is for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.balancer import POLICIES
from gateway.fleet.endpoint import Condition, Endpoint, TcpAddress
from gateway.fleet.replica import Replica
from tests.support.calls import call


def replicas(*loads: tuple[int, int]) -> list[Replica]:
    made = []
    for number, (in_flight, room) in enumerate(loads):
        endpoint = Endpoint(f"r{number}", TcpAddress("127.0.0.1", 1), "vllm", (("m", "m"),), None, room, 1.0)
        replica = Replica(endpoint, Condition.READY)
        replica.in_flight = in_flight
        made.append(replica)
    return made


every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
LOADS = st.lists(
    st.integers(1, 5).flatmap(lambda room: st.tuples(st.integers(0, room + 1), st.just(room))), max_size=6
)


@every_policy
@settings(max_examples=80, deadline=None)
@given(loads=LOADS, before=st.integers(0, 7))
def test_it_chooses_one_with_room_or_none_and_counts_nothing(name, loads, before) -> None:
    policy = POLICIES[name]()
    members = replicas(*loads)
    for _ in range(before):
        policy.choose(members, call())
    chosen = policy.choose(members, call())
    assert [each.in_flight for each in members] == [load for load, _ in loads]
    if any(each.has_room() for each in members):
        assert chosen in members
        assert chosen is not None
        assert chosen.has_room()
    else:
        assert chosen is None


@every_policy
def test_equal_replicas_share_equally(name) -> None:
    policy = POLICIES[name]()
    members = replicas(*[(0, 10)] * 4)
    counts = Counter(policy.choose(members, call()) for _ in range(400))
    assert set(counts.values()) == {100}


@every_policy
def test_it_fills_every_slot_there_is(name) -> None:
    policy = POLICIES[name]()
    members = replicas((0, 1), (0, 3), (2, 2), (0, 5))
    for _ in range(9):
        chosen = policy.choose(members, call())
        assert chosen is not None
        chosen.in_flight += 1
    assert policy.choose(members, call()) is None


@every_policy
def test_instances_share_nothing(name) -> None:
    members = replicas((0, 9), (0, 9), (0, 9))
    alone = [POLICIES[name]().choose(members, call()) for _ in range(3)]
    assert len(set(alone)) == 1


def test_least_requests_takes_the_least_loaded_for_its_size() -> None:
    policy = POLICIES["least_requests"]()
    members = replicas((5, 10), (1, 2), (4, 10), (3, 4))
    assert {policy.choose(members, call()) for _ in range(8)} == {members[2]}


def test_least_requests_evens_out() -> None:
    policy = POLICIES["least_requests"]()
    members = replicas((7, 20), (0, 20), (3, 20))
    for _ in range(20):
        chosen = policy.choose(members, call())
        assert chosen is not None
        chosen.in_flight += 1
    assert [each.in_flight for each in members] == [10, 10, 10]


def test_round_robin_goes_in_turn_and_passes_over_the_full() -> None:
    policy = POLICIES["round_robin"]()
    members = replicas((0, 9), (9, 9), (0, 9))
    assert [policy.choose(members, call()) for _ in range(4)] == [
        members[0],
        members[2],
        members[0],
        members[2],
    ]
