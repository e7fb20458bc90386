"""A drift between engines and ledger is what somebody used past the gateway, and nothing else."""

import random

import pytest

from gateway.core.outcome import Usage
from gateway.fleet.catalog import Catalog
from gateway.fleet.endpoint import Condition, Endpoint, Sighting, UnixAddress
from gateway.fleet.load import Load
from gateway.ledger import Ledger
from gateway.ledger.reconcile import Reconciler
from gateway.observe.reconciling import LONGEST, Reconciling
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.usage import Kept, end


@pytest.fixture
def ledger():
    return Ledger(Kept(), now=lambda: 0.0, rng=random.Random(1))


def use(ledger, prompt, completion):
    ledger.ended(ledger.began(call(), "e"), end(replica="e", usage=Usage(prompt, completion)))


def test_what_the_gateway_sent_is_no_drift(ledger):
    reconciler = Reconciler(ledger)
    reconciler.compare("e", 1000, 500)
    assert reconciler.drift["e"] == (0, 0)
    use(ledger, 10, 5)
    reconciler.compare("e", 1010, 505)
    assert reconciler.drift["e"] == (0, 0)


def test_what_came_from_elsewhere_is(ledger):
    reconciler = Reconciler(ledger)
    reconciler.compare("e", 0, 0)
    use(ledger, 10, 5)
    reconciler.compare("e", 17, 8)
    assert reconciler.drift["e"] == (7, 3)


def test_a_stream_that_runs_counts_as_far_as_it_is(ledger):
    reconciler = Reconciler(ledger)
    reconciler.compare("e", 0, 0)
    record = ledger.began(call(body=b"x" * 40), "e")
    ledger.progressed(record, 6)
    reconciler.compare("e", 10, 6)
    assert reconciler.drift["e"] == (0, 0)


def test_an_engine_that_starts_anew_is_counted_anew(ledger):
    reconciler = Reconciler(ledger)
    reconciler.compare("e", 1000, 1000)
    use(ledger, 10, 10)
    reconciler.compare("e", 0, 0)
    use(ledger, 3, 4)
    reconciler.compare("e", 3, 4)
    assert reconciler.drift["e"] == (0, 0)


def test_an_engine_is_looked_at_when_it_rests_and_each_minute_if_it_never_does(ledger):
    clock = Clock()
    catalog = Catalog(clock=clock)
    endpoint = Endpoint("e", UnixAddress("/e"), "vllm", (("m", "m"),), None, 8, 1.0)
    catalog.publish("s", [Sighting(endpoint, Condition.READY)])
    (replica,) = catalog.replicas()
    reconciler = Reconciler(ledger)
    reconciling = Reconciling(catalog, reconciler, clock=clock)

    def look(seconds, *, running=0.0, tokens=0.0):
        clock.advance(seconds)
        replica.saw(Load(running, 0.0, prompt_tokens=tokens, generation_tokens=tokens), clock())
        reconciling.sweep()
        return reconciler.drift["e"]

    assert look(1) == (0, 0)
    assert look(5, running=1.0, tokens=9.0) == (0, 0)  # not looked at: it works
    assert look(5, tokens=9.0) == (9, 9)
    assert look(LONGEST, running=1.0, tokens=12.0) == (12, 12)
    catalog.publish("s", [])
    reconciling.sweep()
    assert reconciler.drift == {}


def test_a_page_from_before_the_first_calls_is_no_first_look(ledger):
    clock = Clock()
    catalog = Catalog(clock=clock)
    endpoint = Endpoint("e", UnixAddress("/e"), "vllm", (("m", "m"),), None, 8, 1.0)
    catalog.publish("s", [Sighting(endpoint, Condition.READY)])
    (replica,) = catalog.replicas()
    reconciler = Reconciler(ledger)
    reconciling = Reconciling(catalog, reconciler, clock=clock)
    replica.saw(Load(0.0, 0.0, prompt_tokens=0.0, generation_tokens=0.0), clock())
    clock.advance(1)
    use(ledger, 10, 5)
    replica.heard(clock())
    reconciling.sweep()
    assert reconciler.drift == {}
    clock.advance(1)
    replica.saw(Load(0.0, 0.0, prompt_tokens=10.0, generation_tokens=5.0), clock())
    reconciling.sweep()
    assert reconciler.drift["e"] == (0, 0)
