"""The catalog: publications replaced as a whole, live state kept where the endpoint is the same."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.core.errors import ModelNotFound
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, TcpAddress

READY = Condition.READY


def endpoint(id_: str, **changes: object) -> Endpoint:
    made = Endpoint(id_, TcpAddress("127.0.0.1", 1), "vllm", (("m", "own"),), "key", 4, 1.0)
    return dataclasses.replace(made, **changes)


def sighting(
    id_: str, condition: Condition = READY, ready_in: float | None = None, **changes: object
) -> Sighting:
    return Sighting(endpoint(id_, **changes), condition, ready_in)


class Told:
    """What the catalog told of, in order."""

    def __init__(self) -> None:
        self.all: list[object] = []

    def change(self) -> None:
        self.all.append("change")

    def gone(self, which: Endpoint) -> None:
        self.all.append(which)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def catalog(told: Told) -> Catalog:
    return Catalog(on_change=told.change, on_gone=told.gone)


def ids(catalog: Catalog, model: str = "m") -> list[str]:
    return [replica.endpoint.id for replica in catalog.resolve(model).members]


def test_a_model_that_was_never_seen_is_not_found(catalog) -> None:
    with pytest.raises(ModelNotFound):
        catalog.resolve("m")


def test_replicas_of_a_model_are_one_pool_with_each_ones_own_name(catalog) -> None:
    catalog.publish("s", [sighting("a"), sighting("b", models=(("m", "other"), ("n", "x")))])
    assert [(r.endpoint.id, own) for r, own in catalog.resolve("m").members.items()] == [
        ("a", "own"),
        ("b", "other"),
    ]
    assert ids(catalog, "n") == ["b"]
    assert [pool.model for pool in catalog.pools()] == ["m", "n"]


def test_the_same_endpoint_keeps_its_replica_and_its_pool(catalog, told) -> None:
    catalog.publish("s", [sighting("a")])
    pool = catalog.resolve("m")
    (replica,) = pool.members
    replica.in_flight = 3
    replica.refused(0.0)
    catalog.publish("s", [sighting("a", Condition.DRAINING, 7.0)])
    assert catalog.resolve("m") is pool
    assert list(pool.members) == [replica]
    assert (replica.condition, replica.ready_in, replica.in_flight) == (Condition.DRAINING, 7.0, 3)
    assert replica.unreachable
    assert told.all == ["change", "change"]


CHANGES = [
    {"api_key": "other"},
    {"address": TcpAddress("127.0.0.1", 2)},
    {"models": (("m", "renamed"),)},
    {"max_in_flight": 5},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda c: next(iter(c)))
def test_a_changed_endpoint_is_a_new_replica_and_the_old_one_is_gone(catalog, told, changes) -> None:
    catalog.publish("s", [sighting("a"), sighting("b")])
    pool = catalog.resolve("m")
    old, other = pool.members
    catalog.publish("s", [sighting("a", **changes), sighting("b")])
    assert catalog.resolve("m") is pool
    new = next(each for each in pool.members if each.endpoint.id == "a")
    assert new is not old
    assert other in pool.members
    assert new.endpoint == endpoint("a", **changes)
    assert told.all == ["change", endpoint("a"), "change"]


def test_whoever_holds_a_replica_that_is_gone_sees_it_down(catalog) -> None:
    catalog.publish("a", [sighting("e1"), sighting("e2")])
    before = list(catalog.replicas())
    catalog.publish("a", [sighting("e1", api_key="another")])
    assert [replica.condition for replica in before] == [Condition.DOWN, Condition.DOWN]


def test_what_is_left_out_is_gone_and_an_empty_pool_with_it(catalog, told) -> None:
    catalog.publish("s", [sighting("a"), sighting("b", models=(("n", "x"),))])
    pool = catalog.resolve("n")
    catalog.publish("s", [sighting("a")])
    assert pool.members == {}
    with pytest.raises(ModelNotFound):
        catalog.resolve("n")
    assert told.all[1] == endpoint("b", models=(("n", "x"),))
    catalog.publish("s", [sighting("a"), sighting("b", models=(("n", "x"),))])
    assert catalog.resolve("n") is not pool


def test_sources_do_not_touch_each_others_replicas(catalog) -> None:
    catalog.publish("one", [sighting("a")])
    catalog.publish("two", [sighting("b")])
    assert sorted(ids(catalog)) == ["a", "b"]
    catalog.publish("one", [])
    assert ids(catalog) == ["b"]
    assert [replica.endpoint.id for replica in catalog.replicas()] == ["b"]


def test_the_catalog_is_whole_before_anybody_is_told(catalog, told) -> None:
    seen = []
    catalog.on_change = lambda: seen.append(ids(catalog))
    catalog.on_gone = lambda which: seen.append((which.id, ids(catalog)))
    catalog.publish("s", [sighting("a"), sighting("b")])
    catalog.publish("s", [sighting("b")])
    assert seen == [["a", "b"], ("a", ["b"]), ["b"]]


def test_a_model_keeps_the_time_it_was_first_seen(catalog) -> None:
    catalog.publish("s", [sighting("a")])
    created = catalog.created("m")
    catalog.publish("s", [])
    catalog.publish("s", [sighting("a")])
    assert catalog.created("m") == created
