"""Refusals of keys: the same words and the same work, whatever is wrong."""

import asyncio
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import app, identity
from gateway.auth import callers
from gateway.auth.callers import Keys
from gateway.auth.directory.contents import contents_of
from gateway.auth.directory.database import FETCH_SECONDS
from gateway.auth.directory.records import Key, Organisation, Secret, Team, User
from gateway.auth.directory.rules import LOCAL
from gateway.auth.keytext import Hmac, Mint, is_well_formed, parts_of
from gateway.auth.refusal import Reason, Refusals
from gateway.core.errors import Unauthenticated

NOW = 1_000_000.0
REVOCATION_SECONDS = 5.0


class Counted:
    """Counts digests."""

    def __init__(self):
        self._hmac = Hmac(b"p" * 32)
        self.count = 0

    def digest(self, message):
        self.count += 1
        return self._hmac.digest(message)


class World:
    def __init__(self):
        self.hmac = Counted()
        self.mint = Mint(self.hmac, secrets.token_bytes)
        self.texts = {}
        keys = [
            self.key("good"),
            self.key("rotated", more=1),
            self.key("revoked", revoked_at=1.0),
            self.key("expired", expires_at=NOW),
            self.key("suspended", team="shut"),
            self.key("of nobody", user="eve"),
            self.key("elsewhere", networks=("10.0.0.0/8",)),
        ]
        self.refusals = Refusals()
        self.keys = Keys(self.mint, self.refusals, clock=lambda: NOW)
        self.keys.publish(
            contents_of(
                organisations=[Organisation(name="default")],
                teams=[Team(name="default"), Team(name="shut", suspended=True)],
                users=[User(name="eve", suspended=True)],
                keys=keys,
            )
        )
        good = self.texts["good"]
        self.texts |= {
            "wrong secret": good[:-10] + ("a" if good[-10] != "a" else "b") + good[-9:],
            "wrong checksum": good[:-1] + ("a" if good[-1] != "a" else "b"),
            "unknown id": good[:9] + "0" * 12 + good[21:],
            "short": good[:-1],
            "long": good + "x",
            "huge": good * 1000,
            "empty": "",
            "another's": "sk-proj-abc",
        }

    def key(self, name, more=0, **fields):
        made = self.mint.make()
        self.texts[name] = made.text
        digests = [made.digest, *[self.mint.make(public=made.id).digest for _ in range(more)]]
        return Key(
            id=made.id, name=name, secrets=tuple(Secret(digest=each) for each in digests), version=1, **fields
        )


@pytest.fixture
def world():
    return World()


BAD = {
    "revoked": Reason.REVOKED,
    "expired": Reason.EXPIRED,
    "suspended": Reason.SUSPENDED,
    "of nobody": Reason.SUSPENDED,
    "elsewhere": Reason.ADDRESS,
    **dict.fromkeys(
        (
            *("wrong secret", "wrong checksum", "unknown id", "short", "long"),
            *("huge", "empty", "another's"),
        ),
        Reason.UNKNOWN,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_refusal_says_the_same_and_takes_the_same_work_each_time(world, name, monkeypatch):
    compares = []

    def compare(one, other):
        compares.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(callers, "compare_digest", compare)
    for _ in range(3):
        before, compares[:] = world.hmac.count, []
        with pytest.raises(Unauthenticated) as refused:
            world.keys.authenticate(world.texts[name].encode(), "192.0.2.1")
        assert str(refused.value) == "The API key is not valid. Create one with: cascadia keys create"
        assert (world.hmac.count - before, compares) == (1, [(64, 64)] * 2)
    assert world.refusals.counts[BAD[name]] == 3
    assert sum(world.refusals.counts.values()) == 3


@pytest.mark.parametrize("name", ["good", "rotated"])
def test_a_good_key_takes_a_digest_once_until_the_directory_changes(world, name):
    text = world.texts[name].encode()
    before = world.hmac.count
    for _ in range(3):
        assert world.keys.authenticate(text)
    assert world.hmac.count == before + 1


@given(
    st.text(max_size=100)
    | st.from_regex(r"gw_[a-z]{0,6}_[0-9A-Za-z]{11,13}_[0-9A-Za-z]{42,44}_[0-9A-Za-z]{5,7}")
)
def test_parts_of_a_key_are_told_of_whole_keys_alone(text):
    if is_well_formed(text):
        env, public = parts_of(text)
        assert text.startswith(f"gw_{env}_{public}_")
    else:
        with pytest.raises(ValueError, match="not an API key"):
            parts_of(text)


async def test_a_gateway_looks_often_enough_to_refuse_a_revoked_key_in_time(tmp_path, monkeypatch):
    """One look after each pause: a key is refused one pause, and the longest look, after it was revoked."""
    from config.paths import Paths
    from config.schema import Config
    from gateway.databases import database_of

    paths = Paths(tmp_path)
    config = Config()
    running, other = (identity.identity_of(config, paths, database_of(config, paths)) for _ in range(2))
    new = await running.directory.create_key(LOCAL, {"name": "k"})
    slept = []
    sleep = asyncio.sleep

    async def counted(seconds):
        slept.append(seconds)
        if len(slept) == 1:
            assert running.authenticator.authenticate(new.text.encode())
            await other.directory.revoke_key(LOCAL, new.record.id)
        if len(slept) == 2:
            raise asyncio.CancelledError
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", counted)
    with pytest.raises(asyncio.CancelledError):
        await app.follow(running.directory)
    with pytest.raises(Unauthenticated):
        running.authenticator.authenticate(new.text.encode())
    assert slept[0] + FETCH_SECONDS < REVOCATION_SECONDS
