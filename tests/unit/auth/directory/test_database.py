"""The directory in a database: several gateways, one truth, and what happens while the database is away."""

import asyncio
import secrets

import pytest

from gateway.auth.callers import Keys
from gateway.auth.directory.contents import Contents, contents_of
from gateway.auth.directory.database import DatabaseStore
from gateway.auth.directory.directory import Directory
from gateway.auth.directory.records import Key, Kind, Organisation, Owner, Secret, Team
from gateway.auth.directory.rules import LOCAL
from gateway.auth.keys import KeyFile
from gateway.auth.keytext import Hmac, Mint
from gateway.auth.private import KeyFileError
from gateway.auth.refusal import Refusals
from gateway.core.errors import Conflict, StoreUnavailable, Unauthenticated
from gateway.store import Database, sqlite
from tests.support.postgres import postgres

PEPPER = b"p" * 32
STALE_AFTER = 100.0


@pytest.fixture(scope="module")
def server():
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request, tmp_path):
    if request.param == "sqlite":
        return sqlite(tmp_path / "store" / "cascadia.db")
    return await request.getfixturevalue("server").create("test")


class Gateway:
    """One gateway's view, with a database of its own that can be cut off."""

    def __init__(self, place, *, declared=None, pepper=PEPPER, first=Contents):
        self.now = 1_000_000.0
        self.database = Database(place)
        mint = Mint(Hmac(pepper), secrets.token_bytes)
        self.keys = Keys(mint, Refusals(), clock=self.clock)
        self.store = DatabaseStore(self.database, pepper=mint.check, first=first)
        self.directory = Directory(
            self.store,
            declared or Contents(),
            lambda: mint,
            operations=(),
            clock=self.clock,
            on_change=self.keys.publish,
            stale_after=STALE_AFTER,
        )
        self.keys.is_stale = lambda: self.directory.is_stale
        self.keys.is_unread = lambda: self.directory.is_unread

    def clock(self):
        return self.now

    def cut_off(self):
        """The database is away from here on."""

        async def fetch():
            raise StoreUnavailable("away")

        self.store.fetch = fetch

    def opens(self, text):
        try:
            return self.keys.authenticate(text.encode())
        except Unauthenticated:
            return None


@pytest.fixture
async def gateways(place):
    made = []

    async def make(**more):
        gateway = Gateway(place, **more)
        made.append(gateway)
        await gateway.directory.refresh()
        return gateway

    yield make
    for gateway in made:
        await gateway.database.close()


async def test_what_one_makes_the_others_know_after_one_look(gateways):
    one, two = await gateways(), await gateways()
    await one.directory.create(LOCAL, Kind.TEAM, {"name": "lab", "weight": 2})
    new = await one.directory.create_key(LOCAL, {"name": "k", "team": "lab"})
    assert one.opens(new.text)
    assert not two.opens(new.text)
    assert await two.directory.refresh()
    assert two.opens(new.text) == one.opens(new.text)
    await two.directory.revoke_key(LOCAL, new.record.id)
    assert await one.directory.refresh()
    assert not one.opens(new.text)
    assert await two.directory.refresh()
    assert not await two.directory.refresh()


async def test_changes_at_the_same_time_lose_nothing(gateways):
    several = [await gateways() for _ in range(3)]
    await asyncio.gather(
        *[
            gateway.directory.create(LOCAL, Kind.TEAM, {"name": f"t{index}-{number}"})
            for index, gateway in enumerate(several)
            for number in range(4)
        ]
    )
    await several[0].directory.refresh()
    expected = {f"t{index}-{number}" for index in range(3) for number in range(4)}
    assert expected <= set(several[0].directory.contents.teams)


async def test_of_two_who_make_the_same_one_is_told(gateways):
    one, two = await gateways(), await gateways()
    done = await asyncio.gather(
        *[each.directory.create(LOCAL, Kind.TEAM, {"name": "t"}) for each in (one, two)],
        return_exceptions=True,
    )
    assert sorted(type(each) for each in done if isinstance(each, Exception)) == [Conflict]


async def test_all_fields_come_back_and_in_their_order(gateways):
    one, two = await gateways(), await gateways()
    directory = one.directory
    await directory.create(LOCAL, Kind.ORGANISATION, {"name": "z"})
    await directory.create(LOCAL, Kind.ORGANISATION, {"name": "a"})
    await directory.create(LOCAL, Kind.TEAM, {"name": "t", "organisation": "a", "models": ["x*"]})
    await directory.create(LOCAL, Kind.USER, {"name": "u", "team": "t", "role": "viewer"})
    key = (await directory.create_key(LOCAL, {"name": "k", "team": "t", "user": "u"})).record
    await directory.rotate_key(LOCAL, key.id, overlap=10)
    await directory.update(LOCAL, Kind.ORGANISATION, "z", {"suspended": True})
    await two.directory.refresh()
    for kind in Kind:
        assert list(two.directory.contents.of(kind).values()) == list(directory.contents.of(kind).values())
    await directory.revoke_key(LOCAL, key.id)
    await directory.delete(LOCAL, Kind.KEY, key.id)
    await two.directory.refresh()
    assert not two.directory.contents.keys


async def test_a_refused_change_leaves_no_trace(gateways):
    one, two = await gateways(), await gateways()
    with pytest.raises(Conflict):
        await one.directory.delete(LOCAL, Kind.TEAM, "default")
    assert not await two.directory.refresh()


async def test_the_first_gateway_takes_its_key_file_along(gateways, tmp_path):
    file = KeyFile(tmp_path / "keys.json", tmp_path / "pepper", clock=lambda: 0.0)
    text = file.create("old", tenant="lab").text
    one = await gateways(pepper=file.pepper(), first=file.contents)
    assert one.opens(text).tenant == "lab"
    two = await gateways(pepper=file.pepper())
    assert two.opens(text).tenant == "lab"


async def test_a_gateway_with_another_pepper_is_told(gateways):
    await gateways()
    with pytest.raises(KeyFileError, match="another pepper"):
        await gateways(pepper=b"q" * 32)


async def test_keys_outlast_the_database_for_a_time_and_then_nobody_knows(gateways):
    declared = contents_of(teams=[Team(name="d", owner=Owner.DECLARED, version=1)])
    one = await gateways(declared=declared)
    text = (await one.directory.create_key(LOCAL, {"name": "k"})).text
    fetch = one.store.fetch
    one.cut_off()
    with pytest.raises(StoreUnavailable):
        await one.directory.refresh()
    assert one.directory.problem == "away"
    assert not await one.directory.refresh()
    assert one.opens(text)
    one.now += STALE_AFTER + 1
    await one.directory.refresh()
    for credential in (text, "gw_nobody"):
        with pytest.raises(StoreUnavailable):
            one.keys.authenticate(credential.encode())
    assert list(one.directory.contents.teams) == ["default", "d"]
    one.store.fetch = fetch
    assert await one.directory.refresh()
    assert one.opens(text)
    assert one.directory.problem is None
    assert not one.opens("gw_nobody")


async def test_nobody_is_let_in_before_the_database_answered(place):
    gateway = Gateway(place)
    gateway.cut_off()
    with pytest.raises(StoreUnavailable):
        await gateway.directory.refresh()
    with pytest.raises(StoreUnavailable):
        gateway.keys.authenticate(b"gw_local_x")


async def test_what_is_suspended_or_restricted_stays_so_while_the_database_is_away(gateways):
    one = await gateways()
    await one.directory.create(LOCAL, Kind.TEAM, {"name": "t", "models": ["a"], "weight": 2.0})
    await one.directory.create(LOCAL, Kind.USER, {"name": "u", "team": "t"})
    await one.directory.update(LOCAL, Kind.USER, "u", {"suspended": True})
    await one.directory.update(LOCAL, Kind.TEAM, "default", {"suspended": True})
    await one.directory.create_key(LOCAL, {"name": "k"})
    before = one.directory.contents
    one.cut_off()
    one.now += STALE_AFTER + 1
    with pytest.raises(StoreUnavailable):
        await one.directory.refresh()
    after = one.directory.contents
    assert (after.organisations, after.teams, after.users) == (
        before.organisations,
        before.teams,
        before.users,
    )
    assert not after.keys


@pytest.mark.parametrize("is_whole", [True, False])
async def test_before_the_database_answered_only_keys_count_that_are_declared_with_all_above(place, is_whole):
    mint = Mint(Hmac(PEPPER), secrets.token_bytes)
    minted = mint.make()
    declared = {"owner": Owner.DECLARED, "version": 1}
    team = Team(name="d", organisation="o", **declared)
    gateway = Gateway(
        place,
        declared=contents_of(
            organisations=[Organisation(name="o", **declared)] if is_whole else [],
            teams=[team if is_whole else Team(name="d", **declared)],
            keys=[Key(id=minted.id, name="k", team="d", secrets=(Secret(digest=minted.digest),), **declared)],
        ),
    )
    gateway.cut_off()
    with pytest.raises(StoreUnavailable):
        await gateway.directory.refresh()
    if is_whole:
        assert gateway.opens(minted.text)
    else:
        with pytest.raises(StoreUnavailable):
            gateway.keys.authenticate(minted.text.encode())
