"""What replicas were sent: bounded, a tenant's own, gone with the engine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.balancer import prefixes
from gateway.balancer.prefixes import BLOCK_BYTES, MOST_BLOCKS, MOST_OF_ONE, Prefixes, blocks_of, prompt_start
from gateway.core.call import Call
from gateway.fleet.load import Load
from tests.support.calls import call
from tests.unit.balancer.test_policies import replicas

ONE = replicas((0, 9))[0]


def asked(text: str, tenant: str = "t") -> Call:
    return call(tenant, body=b'{"model":"m","messages":[%b]}' % text.encode())


def test_a_longer_prompt_shares_the_whole_blocks_that_begin_alike() -> None:
    short = blocks_of(asked("a" * 1000))
    long = blocks_of(asked("a" * 1000 + "b" * 1000))
    assert long[: len(short)] == short
    assert len(short) == (len('"messages":[]}') + 1000) // BLOCK_BYTES
    assert len(set(long)) == len(long)


def test_where_the_prompt_stands_in_the_body_does_not_matter() -> None:
    text = b'"messages":[%b]}' % (b"x" * 2000)
    bodies = [b'{"model":"m",' + text, b'{"model":"m","user":"somebody","seed":123,' + text]
    assert blocks_of(call(body=bodies[0])) == blocks_of(call(body=bodies[1]))
    assert prompt_start(b"[]") == 0


def test_of_an_endless_prompt_only_the_beginning_is_looked_at() -> None:
    assert len(blocks_of(asked("x" * 10_000_000))) == MOST_BLOCKS


TEXTS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3000)), max_size=4).map(
    lambda parts: "".join(letter * length for letter, length in parts)
)
SENT = st.lists(st.tuples(st.sampled_from(["t", "u"]), TEXTS), max_size=12)


@settings(max_examples=150, deadline=None)
@given(sent=SENT, text=TEXTS, tenant=st.sampled_from(["t", "u", "v"]), room=st.integers(4, 40))
def test_it_claims_just_what_the_tenant_itself_sent_lately(sent, text, tenant, room) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "MOST_OF_ALL", room)
        index = Prefixes()
        for who, what in sent:
            index.sent(ONE, blocks_of(asked(what, who)))
            assert len(index) <= room
        matched = index.matched(ONE, blocks_of(asked(text, tenant)))
    own = b'"messages":[%b]}' % text.encode()
    truth = max(
        (_alike(own, b'"messages":[%b]}' % what.encode()) for who, what in sent if who == tenant), default=0
    )
    assert matched <= truth
    if sum(len(what) // BLOCK_BYTES + 1 for _, what in sent) <= room:
        assert matched == truth


def _alike(one: bytes, other: bytes) -> int:
    count = 0
    while (
        len(one) >= (count + 1) * BLOCK_BYTES
        and one[: (count + 1) * BLOCK_BYTES] == other[: (count + 1) * BLOCK_BYTES]
    ):
        count += 1
    return count


def test_the_beginning_of_a_prompt_is_the_last_to_be_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(prefixes, "MOST_OF_ALL", 10)
    index, chain = Prefixes(), blocks_of(asked("x" * 6000))
    index.sent(ONE, chain)
    assert len(chain) > 20
    assert index.matched(ONE, chain) == 10


def test_an_engine_that_starts_anew_has_nothing() -> None:
    index, chain = Prefixes(), blocks_of(asked("x" * 2000))
    (replica,) = replicas((0, 9))
    index.sent(replica, chain)
    assert index.matched(replica, chain) == len(chain)
    replica.came_back(0.0)
    assert index.matched(replica, chain) == 0
    index.sent(replica, chain[:2])
    assert index.matched(replica, chain) == 2


def test_another_replica_of_the_same_name_has_nothing() -> None:
    index, chain = Prefixes(), blocks_of(asked("x" * 2000))
    (replica,), (namesake,) = replicas((0, 9)), replicas((0, 9))
    index.sent(replica, chain)
    assert index.matched(namesake, chain) == 0


def test_no_more_is_kept_than_the_engine_has_room_for() -> None:
    index = Prefixes()
    small, large = replicas((0, 9), (0, 9))
    small.saw(Load(running=0.0, waiting=0.0, block_tokens=16, kv_tokens=16 * 1024), 0.0)
    for number in range(400):
        for replica in (small, large):
            index.sent(replica, blocks_of(asked(f"{number:06d}" * 6000)))
    assert len(index) == 16 * 1024 * 4 // BLOCK_BYTES + MOST_OF_ONE
    index.keep([small])
    assert len(index) == 16 * 1024 * 4 // BLOCK_BYTES
