"""What every policy must do, over all there are, and what each one is for."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.balancer import POLICIES
from gateway.balancer.bound import BOUND, FEW
from gateway.core.outcome import Usage
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


def long_prompt(beginning: str) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (beginning * 300).encode()


SAME_EVERYWHERE = [0, 4, 3, 3, 1, 3, 0, 2, 3, 4, 0, 4]
every_policy = pytest.mark.parametrize("name", sorted(POLICIES))
SPREADING = sorted(set(POLICIES) - {"prefix"})
"""Those that share out calls which are all alike: by `prefix` they belong together."""
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


@pytest.mark.parametrize("name", SPREADING)
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


@every_policy
def test_what_it_charges_is_whole_numbers_and_learning_takes_any_counts(name) -> None:
    policy = POLICIES[name]()
    members = replicas((0, 9), (0, 9))
    for usage in (Usage(), Usage(10**9, 10**9, 10**9), Usage(1, 1, 5), Usage(0, 7, 0)):
        asked = call(most_tokens=3, answers=2)
        chosen = policy.choose(members, asked)
        assert chosen is not None
        work = policy.took(chosen, asked)
        assert [type(number) for number in work] == [*[int] * 4, type(None)]
        assert min(work[:4]) >= 0
        policy.ended(chosen, work, usage)
    assert [each.in_flight for each in members] == [0, 0]


@pytest.mark.parametrize("name", ["session", "prefix", "scored"])
def test_calls_that_belong_together_do_not_overload_one(name) -> None:
    """Bounded loads: 1.25 times the mean, or a few calls."""
    policy = POLICIES[name]()
    members = replicas(*[(0, 500)] * 8)
    asked = call(session="all of them", body=long_prompt("the same"))
    for number in range(1, 401):
        chosen = policy.choose(members, asked)
        assert chosen is not None
        policy.took(chosen, asked)
        chosen.in_flight += 1
        assert max(each.in_flight for each in members) <= max(FEW, BOUND * number / 8)


@pytest.mark.parametrize("name", ["session", "prefix"])
def test_one_that_leaves_moves_its_own_calls_only(name) -> None:
    policy = POLICIES[name]()
    members = replicas(*[(0, 9)] * 5)
    asked = [call(session=str(n), body=long_prompt(str(n))) for n in range(200)]
    before = [policy.choose(members, each) for each in asked]
    assert len(set(before)) == 5
    gone, *left = members
    after = [policy.choose(left, each) for each in asked]
    assert [b for a, b in zip(after, before, strict=True) if a is not b] == [gone] * before.count(gone)


def test_the_same_session_of_two_tenants_are_two() -> None:
    policy = POLICIES["session"]()
    members = replicas(*[(0, 9)] * 5)
    places = {policy.choose(members, call(f"tenant-{n}", session="s")) for n in range(50)}
    assert len(places) == 5


def test_sessions_go_to_the_same_place_in_every_process() -> None:
    members = replicas(*[(0, 9)] * 5)
    policy = POLICIES["session"]()
    chosen = [policy.choose(members, call(session=str(n))) for n in range(12)]
    assert [members.index(each) for each in chosen if each] == SAME_EVERYWHERE


def test_least_tokens_prefers_many_short_calls_to_a_long_one() -> None:
    policy = POLICIES["least_tokens"]()
    members = replicas((1, 50), (3, 50))
    members[0].prefill_tokens = 30_000
    members[1].prefill_tokens, members[1].decode_tokens = 300, 300
    assert {policy.choose(members, call()) for _ in range(4)} == {members[1]}


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
