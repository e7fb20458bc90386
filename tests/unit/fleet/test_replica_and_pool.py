"""Standing of replicas, and which of a pool may be sent work."""

from __future__ import annotations

import pytest

from gateway.fleet.endpoint import Condition, Endpoint, TcpAddress, UnixAddress, parse_address
from gateway.fleet.pool import Pool
from gateway.fleet.replica import (
    EJECT_AFTER,
    FIRST_EJECTION,
    LONGEST_EJECTION,
    SILENCE_SECONDS,
    Replica,
)


def replica(id_: str = "r", condition: Condition = Condition.READY) -> Replica:
    return Replica(Endpoint(id_, TcpAddress("h", 1), "vllm", (("m", "m"),), "secret-key", 4, 1.0), condition)


def pool(*members: Replica) -> Pool:
    made = Pool("m")
    made.members.update(dict.fromkeys(members, "m"))
    return made


def test_failures_in_a_row_eject_and_a_success_between_them_does_not() -> None:
    each = replica()
    for _ in range(10):
        for _ in range(EJECT_AFTER - 1):
            each.failed(0.0)
        for _ in range(EJECT_AFTER):
            each.succeeded(0.0)
    assert not each.is_ejected(0.0)
    for _ in range(EJECT_AFTER):
        each.failed(0.0)
    assert each.is_ejected(FIRST_EJECTION - 0.01)
    assert not each.is_ejected(FIRST_EJECTION)


def test_each_ejection_is_longer_up_to_a_bound_and_a_success_ends_the_row() -> None:
    each = replica()
    now, lengths = 0.0, []
    for _ in range(9):
        while not each.is_ejected(now):
            each.failed(now)
        lengths.append(each.ejected_until - now)
        now = each.ejected_until
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert lengths[-1] == LONGEST_EJECTION
    each.succeeded(0.0)
    for _ in range(EJECT_AFTER):
        each.failed(now)
    assert each.ejected_until == now + FIRST_EJECTION


def test_failing_more_often_than_not_ejects_too_and_ten_calls_are_needed_for_that() -> None:
    each = replica()
    for _ in range(4):
        each.failed(0.0)
        each.succeeded(0.0)
    each.failed(0.0)
    assert not each.is_ejected(0.0)  # 5 of 9
    each.failed(0.0)
    assert each.is_ejected(0.0)  # 6 of 10
    later = replica()
    for second in range(20):
        later.failed(second * 11.0)
        later.succeeded(second * 11.0)
    assert not later.is_ejected(230.0)


def test_after_an_ejection_one_call_at_a_time_shows_whether_it_is_well() -> None:
    sound, bad = replica("sound"), replica("bad")
    for _ in range(EJECT_AFTER):
        bad.failed(0.0)
    both = pool(sound, bad)
    after = FIRST_EJECTION
    assert both.candidates(after) == [sound, bad]
    bad.in_flight = 1
    assert both.candidates(after) == [sound]
    bad.in_flight = 0
    bad.succeeded(after)
    bad.in_flight = 3
    assert both.candidates(after) == [sound, bad]


def test_one_that_holds_calls_and_says_nothing_gets_no_more_until_it_is_heard() -> None:
    lively, stuck = replica("lively"), replica("stuck")
    both = pool(lively, stuck)
    stuck.tick(10.0)
    stuck.in_flight = 2
    stuck.tick(10.0 + SILENCE_SECONDS)
    assert both.candidates(15.0) == [lively, stuck]
    stuck.tick(10.5 + SILENCE_SECONDS)
    assert both.candidates(15.5) == [lively]
    assert pool(stuck).candidates(15.5) == [stuck]  # there is no other
    stuck.heard(15.6)
    stuck.tick(16.0)
    assert both.candidates(16.0) == [lively, stuck]
    stuck.in_flight = 0
    stuck.tick(100.0)
    assert both.candidates(100.0) == [lively, stuck]


def test_one_that_turned_a_call_away_holds_no_more_than_it_had_then() -> None:
    each = replica()
    each.in_flight = 2
    each.was_busy()
    assert (each.limit, each.has_room(), each.is_ejected(0.0)) == (2, False, False)
    each.in_flight = 1
    assert not each.has_room()  # it rests until the next look at the time
    each.tick(0.5)
    assert each.has_room()
    for limit in (3, 4, 4):
        each.succeeded(1.0)
        assert each.limit == limit
    each.in_flight = 0
    each.was_busy()
    assert each.limit == 1


@pytest.mark.parametrize("how", [Replica.failed, Replica.refused])
def test_many_calls_broken_by_one_crash_are_one_reason(how) -> None:
    each = replica()
    for _ in range(100):
        how(each, 5.0)
    assert each.ejected_until == 5.0 + FIRST_EJECTION


def test_one_refused_connection_is_enough() -> None:
    each = replica()
    each.refused(0.0)
    assert each.unreachable
    assert each.is_ejected(0.5)
    each.succeeded(0.0)
    assert not each.unreachable


def test_only_the_ready_are_candidates() -> None:
    members = [replica(condition.value, condition) for condition in Condition]
    assert [each.endpoint.id for each in pool(*members).candidates(0.0)] == ["ready"]
    assert pool().candidates(0.0) == []


def test_the_ejected_are_left_out_while_another_is_there() -> None:
    sound, bad = replica("sound"), replica("bad")
    for _ in range(EJECT_AFTER):
        bad.failed(0.0)
    both = pool(sound, bad)
    assert both.candidates(0.5) == [sound]
    assert both.candidates(1.5) == [sound, bad]
    assert both.candidates(0.5, without=sound) == [bad]


def test_when_all_are_ejected_those_that_can_be_reached_are_used() -> None:
    failing, unreachable = replica("failing"), replica("unreachable")
    for _ in range(EJECT_AFTER):
        failing.failed(0.0)
    unreachable.refused(0.0)
    assert pool(failing, unreachable).candidates(0.5) == [failing]
    assert pool(unreachable).candidates(0.5) == []
    assert pool(unreachable).candidates(1.0) == [unreachable]


def test_a_pool_without_ready_replicas_does_not_panic_into_others() -> None:
    assert pool(replica("a", Condition.STARTING), replica("b", Condition.DOWN)).candidates(0.0) == []


@pytest.mark.parametrize(
    ("guesses", "expected"),
    [([], 5), ([None], 5), ([12.4], 12), ([12.4, None, 3.6], 4), ([0.1], 1), ([600.0], 60)],
)
def test_when_to_try_again_is_the_engines_own_guess_within_bounds(guesses, expected) -> None:
    members = []
    for number, guess in enumerate(guesses):
        each = replica(str(number), Condition.STARTING)
        each.ready_in = guess
        members.append(each)
    assert pool(*members).retry_after() == expected


def test_no_key_is_shown() -> None:
    each = replica()
    assert "secret" not in f"{each!r} {each.endpoint!r} {pool(each)!r}"


ADDRESSES = {
    "unix:/run/x.sock": UnixAddress("/run/x.sock"),
    "http://127.0.0.1:8000": TcpAddress("127.0.0.1", 8000),
    "http://127.0.0.1:8000/v1": TcpAddress("127.0.0.1", 8000),
    "http://host": TcpAddress("host", 80),
    "http://[::1]:5": TcpAddress("::1", 5),
}


@pytest.mark.parametrize("text", ADDRESSES)
def test_addresses_are_read(text) -> None:
    assert parse_address(text) == ADDRESSES[text]
    assert parse_address(str(ADDRESSES[text])) == ADDRESSES[text]


@pytest.mark.parametrize("text", ["", "unix:x", "https://host", "host:80", "http://", "ftp://x"])
def test_what_is_no_address(text) -> None:
    with pytest.raises(ValueError, match="not an engine address"):
        parse_address(text)
