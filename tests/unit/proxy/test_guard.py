"""How many connections there may be, and which goes when there are too many."""

from __future__ import annotations

import pytest

from gateway.core.errors import TooManyConnections
from gateway.proxy.addresses import Proxies
from gateway.proxy.guard import Guard, HttpLimits
from gateway.proxy.hosts import Hosts
from tests.support.clock import Clock


class Connection:
    def __init__(self, since: float, address: str | None = None) -> None:
        self.since = since
        self.counted_address = address
        self.is_dropped = False
        self.ticks: list[tuple[float, bool]] = []

    def tick(self, now: float, *, is_pressed: bool) -> None:
        self.ticks.append((now, is_pressed))

    def drop(self) -> None:
        self.is_dropped = True


def guard(**limits: int) -> Guard:
    return Guard(HttpLimits(**limits), Hosts([]), Proxies(), clock=Clock())


def entered(shared: Guard, *connections: Connection) -> None:
    for connection in connections:
        shared.enter(connection)


def test_the_oldest_that_never_asked_makes_room() -> None:
    shared = guard(connections=3)
    served, old, young, newest = [Connection(float(at)) for at in range(4)]
    entered(shared, served, old, young)
    shared.served(served)
    shared.enter(newest)
    assert [each.is_dropped for each in (served, old, young, newest)] == [False, True, False, False]
    assert len(shared) == 3
    shared.leave(old)  # its transport tells of the end later
    assert len(shared) == 3


def test_a_new_one_is_refused_when_all_others_have_asked() -> None:
    shared = guard(connections=2)
    first, second, third = [Connection(float(at)) for at in range(3)]
    entered(shared, first, second)
    shared.served(first)
    shared.served(second)
    with pytest.raises(TooManyConnections):
        shared.enter(third)
    assert not first.is_dropped
    assert not second.is_dropped
    shared.leave(third)
    shared.leave(first)
    shared.enter(Connection(3.0))


def test_one_address_cannot_take_the_places_of_others() -> None:
    shared = guard(connections=100, connections_per_address=2)
    other = Connection(0.0, "b")
    mine = [Connection(float(at), "a") for at in range(1, 5)]
    entered(shared, other, *mine)
    assert [each.is_dropped for each in mine] == [True, True, False, False]
    assert not other.is_dropped
    for each in mine[2:]:
        shared.served(each)
    with pytest.raises(TooManyConnections):
        shared.enter(Connection(9.0, "a"))
    shared.enter(Connection(9.0, "b"))


def test_unix_sockets_and_proxies_are_not_counted_by_address() -> None:
    shared = guard(connections=100, connections_per_address=1)
    connections = [Connection(float(at)) for at in range(50)]
    entered(shared, *connections)
    assert not any(each.is_dropped for each in connections)


def test_nothing_is_kept_of_connections_that_are_over() -> None:
    shared = guard(connections=10, connections_per_address=2)
    connections = [Connection(float(at), f"a{at % 3}") for at in range(6)]
    entered(shared, *connections)
    shared.served(connections[0])
    for each in connections:
        shared.leave(each)
    assert (len(shared), shared._unserved, shared._counts) == (0, {}, {})


def test_all_are_told_the_time_and_whether_room_is_short() -> None:
    shared = guard(connections=10)
    connections = [Connection(0.0) for _ in range(10)]
    entered(shared, *connections[:9])
    shared.sweep()
    shared.enter(connections[9])
    shared.sweep()
    assert [pressed for _, pressed in connections[0].ticks] == [False, True]
