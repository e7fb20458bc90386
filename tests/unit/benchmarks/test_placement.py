"""Which core runs what."""

from __future__ import annotations

from benchmarks.placement import place


def test_the_gateway_has_a_core_to_itself_when_there_are_two():
    found = place({0, 1}, engines=2)
    assert (found.gateway, found.engines, found.client) == ({0}, {1}, {1})
    assert found.is_shared
    assert str(found) == "gateway on core 0, engine and client on core 1"


def test_engines_get_cores_of_their_own_when_there_are_more():
    found = place({4, 5, 6, 7, 8}, engines=2)
    assert (found.gateway, found.client, found.engines) == ({4}, {5}, {6, 7})
    assert not found.is_shared


def test_one_core_is_not_pinned_and_says_so():
    found = place({3}, engines=1)
    assert (found.gateway, found.engines, found.client) == (None, None, None)
    assert str(found) == "not pinned (one core)"
