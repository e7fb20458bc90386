"""Salts: one for each group that shares, nobody's guess, and always the gateway's."""

from __future__ import annotations

import json

import pytest

from config.schema import Config
from gateway.core.call import Principal
from gateway.proxy.isolation import MAX_GROUPS, Isolation, Share

BODY = b'{"model":"m","prompt":"x"}'
A1 = Principal("a", "k1", organisation="lab")
A2 = Principal("a", "k2", organisation="lab")
B = Principal("b", "k3", organisation="lab")
C = Principal("c", "k4", organisation="other")


def salt(isolation: Isolation, principal: Principal) -> str:
    sent = json.loads(isolation.salted(BODY, principal, "vllm"))
    found: str = sent.pop("cache_salt")
    assert sent == json.loads(BODY)
    return found


def of(share: Share, key: bytes = b"k" * 32) -> Isolation:
    return Isolation(share, lambda: key)


def test_a_team_shares_within_itself_and_with_nobody_else() -> None:
    team = of(Share.TEAM)
    assert salt(team, A1) == salt(team, A2)
    assert len({salt(team, each) for each in (A1, B, C)}) == 3


def test_an_organisation_shares_among_its_teams() -> None:
    organisation = of(Share.ORGANISATION)
    assert salt(organisation, A1) == salt(organisation, B) != salt(organisation, C)


def test_nothing_is_sent_where_all_share() -> None:
    assert of(Share.ALL).salted(BODY, A1, "vllm") is BODY


def test_a_server_that_knows_no_salts_gets_none() -> None:
    assert of(Share.TEAM).salted(BODY, A1, "openai") is BODY


def test_a_salt_is_the_secrets_and_tells_no_name() -> None:
    assert salt(of(Share.TEAM), A1) != salt(of(Share.TEAM, b"l" * 32), A1)
    assert len(salt(of(Share.TEAM), A1)) == 32


def test_a_team_and_an_organisation_of_one_name_have_two_salts() -> None:
    same = Principal("x", "k", organisation="x")
    assert salt(of(Share.TEAM), same) != salt(of(Share.ORGANISATION), same)


def test_however_many_groups_there_are_few_are_remembered() -> None:
    isolation = of(Share.TEAM)
    first = salt(isolation, A1)
    for number in range(MAX_GROUPS + 10):
        isolation.salted(BODY, Principal(f"t{number}", "k"), "vllm")
    assert len(isolation._openings) <= MAX_GROUPS
    assert salt(isolation, A1) == first


def test_callers_cannot_be_allowed_a_salt_beside_ours() -> None:
    requests = {"allowed_fields": ["cache_salt"]}
    with pytest.raises(ValueError, match="cache_salt"):
        Config.model_validate({"requests": requests})
    Config.model_validate({"requests": requests, "isolation": {"share_prefixes": "all"}})
