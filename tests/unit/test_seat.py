"""What one of several processes may take of what bounds the service."""

import pytest

from config.schema import Config
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, UnixAddress
from gateway.seat import ALONE, Seat, share_of, sighted


@pytest.mark.parametrize("seats", [1, 2, 3, 7])
@pytest.mark.parametrize("whole", [7, 8, 64, 1000])
def test_shares_add_up(whole, seats):
    assert sum(Seat(number, seats).share(whole) for number in range(seats)) == whole


def test_each_has_some():
    assert [Seat(number, 4).share(2) for number in range(4)] == [1, 1, 1, 1]


def test_a_process_that_is_alone_has_all():
    config = Config()
    assert share_of(config, ALONE) is config
    seen = [Sighting(endpoint(5), Condition.READY)]
    assert sighted(seen, ALONE) is seen


def endpoint(limit):
    return Endpoint("e-0", UnixAddress("/e"), "vllm", (("m", "m"),), None, limit, 60.0)


def test_no_process_takes_the_whole_limit_of_a_replica():
    seen = [Sighting(endpoint(5), Condition.READY)]
    limits = [sighted(seen, Seat(number, 3))[0].endpoint.max_in_flight for number in range(3)]
    assert limits == [2, 2, 1]


def test_queues_and_memory_are_shared_out_and_none_stays_none():
    config = Config.model_validate(
        {"admission": {"max_queue": 0, "max_queue_bytes": 3000}, "explain": {"records": 10}}
    )
    found = share_of(config, Seat(0, 3))
    assert found.admission.max_queue == 0
    assert found.admission.max_queue_tokens is None
    assert found.admission.max_queue_bytes == 1000
    assert found.explain.records == 4
    assert found.server.max_connections_per_address == config.server.max_connections_per_address
