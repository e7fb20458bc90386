"""Who may call, for what and from where: scoped keys and tokens, with OpenAI's own client, over both drivers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from config.schema import Config
from engines.simulated import SimulatedEngine
from gateway.auth.directory.directory import Directory
from gateway.auth.directory.records import Kind
from gateway.auth.directory.rules import LOCAL
from tests.support.gateway import Driver, RunningGateway, endpoint, running
from tests.support.issuer import AUDIENCE, ISSUER, TestIssuer
from tests.support.peer import request

BODY: dict[str, Any] = {"model": "model", "messages": [{"role": "user", "content": "Say it."}]}
MESSAGES: Any = BODY["messages"]


@pytest.fixture(scope="module")
def issuer() -> TestIssuer:
    return TestIssuer(now=time.time())


@pytest.fixture
async def locked(
    driver: Driver, engine: SimulatedEngine, tmp_path: Path, issuer: TestIssuer
) -> AsyncIterator[RunningGateway]:
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(issuer.document())
    config = Config.model_validate(
        {
            "server": {"trusted_proxies": ["127.0.0.1"]},
            "auth": {
                "jwt": [
                    {
                        "name": "sso",
                        "issuer": ISSUER,
                        "audience": AUDIENCE,
                        "jwks_file": jwks,
                        "team_claim": "team",
                    }
                ]
            },
            "identity": {"teams": [{"name": "lab", "weight": 2.0, "highest_tier": "default"}]},
        }
    )
    async with running(config, tmp_path / "data", driver, endpoint(engine.address)) as running_:
        yield running_


def directory(gateway: RunningGateway) -> Directory:
    found = gateway.parts.identity.directory
    assert found is not None
    return found


async def key(gateway: RunningGateway, **fields: Any) -> str:
    return (await directory(gateway).create_key(LOCAL, {"name": "k", **fields})).text


def client(gateway: RunningGateway, credential: str) -> openai.AsyncOpenAI:
    host, port = gateway.address
    return openai.AsyncOpenAI(base_url=f"http://{host}:{port}/v1", api_key=credential, max_retries=0)


async def test_a_scoped_key_does_what_it_is_for_and_nothing_else(locked) -> None:
    text = await key(locked, team="lab", models=["mod*"], operations=["chat"])
    async with client(locked, text) as sdk:
        answer = await sdk.chat.completions.create(model="model", messages=MESSAGES)
        assert answer.choices[0].message.content
        stream = await sdk.chat.completions.create(model="model", messages=MESSAGES, stream=True)
        assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
        with pytest.raises(openai.PermissionDeniedError) as denied:
            await sdk.completions.create(model="model", prompt="Once")
        assert denied.value.code == "permission_denied"
        with pytest.raises(openai.PermissionDeniedError):
            await sdk.models.list()
    assert {(end.principal.tenant, end.principal.weight) for end in locked.ends} == {("lab", 2.0)}


async def test_a_key_for_other_models_finds_none_here(locked) -> None:
    async with client(locked, await key(locked, models=["other*"])) as sdk:
        with pytest.raises(openai.NotFoundError):
            await sdk.chat.completions.create(model="model", messages=MESSAGES)
        assert [model.id async for model in sdk.models.list()] == []


async def test_a_key_for_the_administration_infers_nothing(locked) -> None:
    await directory(locked).create(LOCAL, Kind.USER, {"name": "ada", "role": "admin"})
    async with client(locked, await key(locked, user="ada", operations=["admin"])) as sdk:
        with pytest.raises(openai.PermissionDeniedError):
            await sdk.chat.completions.create(model="model", messages=MESSAGES)
        with pytest.raises(openai.PermissionDeniedError):
            await sdk.models.list()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
async def test_a_key_is_good_from_its_networks_alone_and_refused_like_any_other(locked, path) -> None:
    text = await key(locked, networks=["203.0.113.0/24"])
    peer = await locked.connect()
    bodies = {}
    for token in (text, "sk-nobody"):
        for address in ("203.0.113.9", "198.51.100.1"):
            headers = [("authorization", f"Bearer {token}"), ("x-forwarded-for", address)]
            asked = (
                request(None, method="GET", path=path, more_headers=headers)
                if path == "/v1/models"
                else request(BODY, more_headers=headers)
            )
            answer = await peer.ask(asked)
            bodies[token, address] = (answer.status, answer.body)
    assert bodies.pop((text, "203.0.113.9"))[0] == 200
    assert len(set(bodies.values())) == 1
    assert bodies[text, "198.51.100.1"][0] == 401
    assert locked.parts.identity.refusals.counts["address"] == 1
    assert locked.parts.identity.refusals.counts["unknown"] == 2


async def test_a_token_of_the_identity_provider_is_a_credential(locked, issuer) -> None:
    async with client(locked, issuer.token(team="lab").decode()) as sdk:
        assert await sdk.chat.completions.create(model="model", messages=MESSAGES)
        assert [model.id async for model in sdk.models.list()] == ["model"]
    assert (locked.ends[0].principal.key_id, locked.ends[0].principal.tenant) == ("sso:ada", "lab")


async def test_bad_tokens_and_bad_keys_read_the_same(locked, issuer) -> None:
    suspended = await key(locked, team="default")
    await directory(locked).update(LOCAL, Kind.TEAM, "default", {"suspended": True})
    bad = [
        suspended,
        "gw_local_nobody",
        issuer.token(team="nobody").decode(),
        issuer.token(team="lab", exp=1).decode(),
        issuer.unsigned(team="lab").decode(),
        issuer.signed_with_the_public_key("pem").decode(),
        "eyJ" + "x" * 10_000,
    ]
    peer = await locked.connect()
    said = set()
    for token in bad:
        answer = await peer.ask(request(BODY, more_headers=[("authorization", f"Bearer {token}")]))
        said.add((answer.status, answer.body))
    assert len(said) == 1
    assert said.pop()[0] == 401
