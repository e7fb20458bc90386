"""What the balancer charges a replica for its calls is given back, however they end."""

from __future__ import annotations

import pytest

from gateway.admission import Admission, Ended, Lease
from gateway.balancer import POLICIES
from gateway.core.outcome import Usage
from tests.support.calls import call
from tests.support.clock import Clock
from tests.support.queueing import Caller, pool, replica


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize("ended", Ended)
@pytest.mark.parametrize("has_begun", [True, False])
def test_nothing_stays_charged_after_a_call(name, ended, has_begun) -> None:
    members = [replica(room=9), replica(room=9)]
    admission = Admission(POLICIES[name], clock=Clock())
    both = pool(*members)
    leases = [admission.admit(both, call(most_tokens=50 + n), Caller(), 1e9) for n in range(6)]
    for lease in leases:
        assert isinstance(lease, Lease)
        if has_begun:
            lease.began()
            assert lease.replica.prefill_tokens >= 0
        lease.release(ended, Usage(100, 10, 3))
        lease.release(ended, Usage(100, 10, 3))
    assert [(each.prefill_tokens, each.decode_tokens, each.in_flight) for each in members] == [(0, 0, 0)] * 2


def test_a_prompt_is_charged_until_its_answer_begins_and_the_answer_until_its_end() -> None:
    member = replica(room=9)
    lease = Admission(POLICIES["scored"], clock=Clock()).admit(
        pool(member), call(most_tokens=40), Caller(), 1e9
    )
    assert isinstance(lease, Lease)
    assert member.prefill_tokens > 0
    assert member.decode_tokens == 41
    lease.began()
    lease.began()
    assert (member.prefill_tokens, member.decode_tokens) == (0, 41)
