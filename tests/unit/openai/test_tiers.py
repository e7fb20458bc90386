"""`service_tier`: what is asked for, what may be had, and what is told."""

from __future__ import annotations

import json

import pytest

from gateway.core.call import Principal, Tier
from gateway.core.errors import InvalidRequest
from gateway.openai.names import Rename
from gateway.openai.tiers import TIERS, Echo, acceptable, tier_of, with_priority
from tests.support.calls import call

ANYBODY = Principal("t", "k")


@pytest.mark.parametrize("wanted", sorted(TIERS))
@pytest.mark.parametrize("highest", list(Tier))
def test_nobody_gets_a_higher_tier_than_the_key_may_have(wanted: str, highest: Tier) -> None:
    given = tier_of(wanted, Principal("t", "k", highest_tier=highest))
    assert given == min(TIERS[wanted], highest)


def test_no_wish_is_the_default_tier_or_the_highest_that_may_be_had() -> None:
    assert tier_of(None, ANYBODY) is Tier.DEFAULT
    assert tier_of(None, Principal("t", "k", highest_tier=Tier.FLEX)) is Tier.FLEX


@pytest.mark.parametrize("wanted", ["", "FLEX", "urgent"])
def test_what_is_no_tier_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tier_of(wanted, ANYBODY)
    assert refused.value.param == "service_tier"


def test_only_the_member_itself_is_changed_for_engines() -> None:
    body = b'{"model":"m","service_tier":"fast","messages":[{"role":"user","content":"\\"service_tier\\":\\"fast\\""}]}'
    changed = acceptable(call(body=body, service_tier="fast").envelope)
    assert json.loads(changed.body) == {**json.loads(body), "service_tier": "priority"}
    assert changed.body.startswith(b'{"model":"m"')
    same = call(body=body, service_tier="flex").envelope
    assert acceptable(same) is same


def test_priority_is_vllms_whose_least_goes_first() -> None:
    body = b'{"model":"m"}'
    sent = {tier: json.loads(with_priority(body, tier)).get("priority", 0) for tier in Tier}
    assert sent[Tier.PRIORITY] < sent[Tier.DEFAULT] < sent[Tier.FLEX]


TEXT = json.dumps({"content": 'data: {"a": 1}\n\ndata: {"b": 2}', "note": '"service_tier": null'})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"id":"1"}', '{"service_tier":"flex","id":"1"}'),
        ('{"id":"1","service_tier":null}', '{"id":"1","service_tier":"flex"}'),
        ('{"service_tier": "default"}', '{"service_tier":"flex"}'),
        (TEXT, '{"service_tier":"flex",' + TEXT[1:]),
        ("data: " + TEXT + "\n\n", 'data: {"service_tier":"flex",' + TEXT[1:] + "\n\n"),
        (
            'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n',
            'data: {"service_tier":"flex","a":1}\n\ndata: {"service_tier":"flex","b":2}\n\ndata: [DONE]\n\n',
        ),
        (': ping\n\ndata: {"a":1}\n\n', ': ping\n\ndata: {"service_tier":"flex","a":1}\n\n'),
        ("data: [DONE]\n\n", "data: [DONE]\n\n"),
        ("", ""),
    ],
)
def test_the_answer_tells_the_tier_once(before: str, after: str) -> None:
    assert Echo(Tier.FLEX, None)(before.encode()) == after.encode()


def test_the_model_is_renamed_too() -> None:
    echo = Echo(Tier.PRIORITY, Rename("own", "public"))
    assert echo(b'{"model":"own"}') == b'{"service_tier":"priority","model":"public"}'
