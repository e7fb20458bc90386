"""What counts in a score, one term at a time, and when guesses are gone by."""

from __future__ import annotations

import pytest

from gateway.balancer.scored import TERMS, Scored
from gateway.balancer.trust import ENOUGH, Trust
from gateway.balancer.work import USUAL_ANSWER, Estimates, Work
from gateway.core.call import Call
from gateway.core.outcome import Usage
from gateway.fleet.load import Load
from gateway.fleet.replica import Replica
from tests.support.calls import call
from tests.unit.balancer.test_policies import long_prompt, replicas

IDLE = Load(running=0.0, waiting=0.0)


def chosen(policy: Scored, members: list[Replica], asked: Call) -> Replica:
    found = {policy.choose(members, asked) for _ in range(5)}
    assert len(found) == 1
    (one,) = found
    assert one is not None
    return one


def test_a_replica_that_was_sent_the_beginning_before_is_cheaper() -> None:
    policy, members = Scored(), replicas((0, 50), (0, 50), (0, 50))
    policy.choose(members, call())
    policy.took(members[1], call(body=long_prompt("abc")))
    assert chosen(policy, members, call(body=long_prompt("abc"))) is members[1]
    assert policy.choice is not None
    assert policy.choice.cached_tokens is not None
    assert policy.choice.cached_tokens > 100
    prefill = {name: terms[TERMS.index("prefill")] for name, _, terms in policy.choice.candidates}
    assert prefill["r1"] < prefill["r0"] == prefill["r2"]


def test_but_not_when_it_holds_more_than_that_saves() -> None:
    policy, members = Scored(), replicas((3, 50), (3, 50))
    policy.choose(members, call())
    policy.took(members[1], call(body=long_prompt("abc")))
    members[1].decode_tokens = 500
    assert chosen(policy, members, call(body=long_prompt("abc"))) is members[0]


def test_fewer_tokens_held_are_better_than_fewer_calls() -> None:
    policy, members = Scored(), replicas((1, 50), (2, 50))
    members[0].prefill_tokens, members[1].prefill_tokens = 9000, 100
    assert chosen(policy, members, call()) is members[1]


@pytest.mark.parametrize(
    "load",
    [
        Load(running=9.0, waiting=4.0),
        Load(running=0.0, waiting=0.0, kv_usage=0.99),
    ],
    ids=["the calls of others", "a full KV cache"],
)
def test_what_the_engine_says_counts_and_less_as_it_ages(load) -> None:
    policy, members = Scored(), replicas((0, 50), (0, 50))
    members[0].saw(load, 0.0)
    members[1].saw(IDLE, 0.0)
    assert chosen(policy, members, call()) is members[1]
    assert policy.choice is not None
    now = policy.choice.candidates[0][1]
    for each in members:
        each.tick(5.0)
    policy.choose(members, call())
    later = policy.choice.candidates[0][1]
    assert now > later
    for each in members:
        each.tick(20.0)
    assert {policy.choose(members, call()) for _ in range(4)} == set(members)


def test_our_own_calls_are_not_counted_twice() -> None:
    policy, members = Scored(), replicas((9, 50), (9, 50))
    members[0].saw(Load(running=9.0, waiting=0.0), 0.0)
    assert {policy.choose(members, call()) for _ in range(4)} == set(members)


def test_a_slower_one_gets_less() -> None:
    policy, members = Scored(), replicas((2, 50), (2, 50))
    members[0].pace.slowness = 2.5
    for each in members:
        each.decode_tokens = 256
    assert chosen(policy, members, call()) is members[1]
    members[1].decode_tokens = 512
    assert chosen(policy, members, call()) is members[0]


def test_one_that_only_had_a_long_prompt_gets_no_less() -> None:
    policy, members = Scored(), replicas((2, 50), (2, 50))
    members[0].pace.slowness = 1.9
    assert {policy.choose(members, call()) for _ in range(4)} == set(members)


def test_the_terms_add_up_to_the_score() -> None:
    policy, members = Scored(), replicas((2, 50), (3, 20))
    members[0].saw(Load(running=9.0, waiting=4.0, kv_usage=0.9), 0.0)
    members[1].pace.slowness = 3.0
    members[1].decode_tokens = 70
    policy.choose(members, call())
    assert policy.choice is not None
    for _, score, terms in policy.choice.candidates:
        assert score == pytest.approx(sum(terms))
        assert len(terms) == len(TERMS)


# --- estimates


def test_estimates_follow_what_was_counted() -> None:
    estimates = Estimates()
    asked = call(body=b"x" * 4000)
    assert (estimates.prompt(asked), estimates.decode(asked)) == (1001, USUAL_ANSWER + 1)
    for _ in range(400):
        estimates.learn(Work(1, 1, 0, 4000), Usage(2000, 40))
    assert estimates.prompt(asked) == pytest.approx(2000, rel=0.02)
    assert estimates.decode(asked) == pytest.approx(40, abs=2)
    assert estimates.decode(call(most_tokens=5, answers=3)) == 16


# --- whether guesses come true


def fed(trust: Trust, found: int, count: int, load: Load | None = None) -> Trust:
    (replica,) = replicas((0, 9))
    if load is not None:
        replica.saw(load, 0.0)
    for _ in range(count):
        trust.take(replica, 1000, Usage(1200, 10, found))
    return trust


def test_guesses_that_fail_are_not_gone_by_until_they_come_true_again() -> None:
    trust = fed(Trust(), 900, ENOUGH)
    assert trust.is_given
    assert fed(trust, 250, 20 * ENOUGH).is_given  # a quarter: above the lower threshold
    assert not fed(trust, 10, 10 * ENOUGH).is_given
    assert not fed(trust, 300, 20 * ENOUGH).is_given  # below the upper one
    assert fed(trust, 900, 10 * ENOUGH).is_given


def test_an_engine_that_does_not_say_is_no_proof_unless_its_own_count_is() -> None:
    assert fed(Trust(), 0, 10 * ENOUGH).is_given
    assert fed(Trust(), 0, 10 * ENOUGH, Load(0.0, 0.0, prefix_hits=5000.0)).is_given
    assert not fed(Trust(), 0, 10 * ENOUGH, Load(0.0, 0.0, prefix_hits=0.0)).is_given


def test_a_few_calls_say_nothing() -> None:
    assert fed(Trust(), 0, ENOUGH - 1, Load(0.0, 0.0, prefix_hits=0.0)).is_given


def test_when_they_are_not_gone_by_the_load_decides() -> None:
    policy, members = Scored(), replicas((0, 50), (0, 50))
    policy.trust.is_given = False
    policy.choose(members, call())
    policy.took(members[1], call(body=long_prompt("abc")))
    asked = call(body=long_prompt("abc"))
    assert {policy.choose(members, asked) for _ in range(4)} == set(members)
    assert policy.took(members[1], asked).cached > 0  # still guessed, to be seen whether it comes true


def test_no_body_is_kept() -> None:
    policy, members = Scored(), replicas((0, 50), (0, 50))
    asked = call()
    one = policy.choose(members, asked)
    assert one is not None
    policy.took(one, asked)
    assert policy._chain_of is None
