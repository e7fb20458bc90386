"""The directory: what is made, changed and taken out, by whom, and what it refuses."""

import pytest

from gateway.auth.callers import Keys
from gateway.auth.directory.contents import Contents, DirectoryConflict, contents_of, merged
from gateway.auth.directory.directory import Directory
from gateway.auth.directory.records import Key, Kind, Organisation, Owner, Secret, Team, User
from gateway.auth.directory.rules import LOCAL, Actor
from gateway.auth.keys import FileStore, KeyFile
from gateway.auth.private import KeyFileError
from gateway.auth.refusal import Refusals
from gateway.core.call import Reach, Role, Tier
from gateway.core.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    Unauthenticated,
    VersionMismatch,
)

OPERATIONS = ("chat", "models")
DAY = 86_400.0


class World:
    """A key file, and gateways that follow it on a clock that is set by hand."""

    def __init__(self, folder):
        self.now = 1_000_000.0
        self.file = KeyFile(folder / "keys.json", folder / "pepper", clock=self.clock)
        self.directory, self.keys = self.gateway()

    def clock(self):
        return self.now

    def gateway(self, declared=None):
        mint = self.file.mint()
        keys = Keys(mint, Refusals(), clock=self.clock)
        directory = Directory(
            FileStore(self.file),
            declared or Contents(),
            lambda: mint,
            operations=OPERATIONS,
            clock=self.clock,
            on_change=keys.publish,
        )
        directory.publish(self.file.contents())
        return directory, keys

    async def key(self, actor=LOCAL, **fields):
        return await self.directory.create_key(actor, {"name": "k", **fields})

    def opens(self, text, address=None):
        try:
            return self.keys.authenticate(text.encode(), address)
        except Unauthenticated:
            return None


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


async def test_a_key_speaks_for_its_team_and_organisation(world):
    directory = world.directory
    await directory.create(LOCAL, Kind.ORGANISATION, {"name": "physics"})
    await directory.create(
        LOCAL,
        Kind.TEAM,
        {
            "name": "lab",
            "organisation": "physics",
            "weight": 3,
            "highest_tier": "default",
            "models": ["a*", "b"],
        },
    )
    await directory.create(LOCAL, Kind.USER, {"name": "ada", "team": "lab"})
    new = await world.key(team="lab", user="ada", models=["ab*", "b", "c"])
    caller = world.opens(new.text)
    assert (caller.tenant, caller.organisation, caller.user, caller.weight) == ("lab", "physics", "ada", 3.0)
    assert caller.highest_tier is Tier.DEFAULT
    assert [model for model in ("a", "abc", "b", "c") if caller.may_use(model)] == ["abc", "b"]


@pytest.mark.parametrize("kind", [Kind.ORGANISATION, Kind.TEAM, Kind.USER])
async def test_what_is_suspended_takes_its_keys_along_until_it_is_resumed(world, kind):
    await world.directory.create(LOCAL, Kind.ORGANISATION, {"name": "o"})
    await world.directory.create(LOCAL, Kind.TEAM, {"name": "t", "organisation": "o"})
    await world.directory.create(LOCAL, Kind.USER, {"name": "u", "team": "t"})
    text = (await world.key(team="t", user="u")).text
    name = {Kind.ORGANISATION: "o", Kind.TEAM: "t", Kind.USER: "u"}[kind]
    assert world.opens(text)
    await world.directory.update(LOCAL, kind, name, {"suspended": True})
    assert not world.opens(text)
    await world.directory.update(LOCAL, kind, name, {"suspended": False})
    assert world.opens(text)


async def test_an_expired_key_stops_while_the_gateway_runs(world):
    text = (await world.key(expires_at=world.now + 10)).text
    assert world.opens(text)
    world.now += 9.9
    assert world.opens(text)
    world.now += 0.1
    assert not world.opens(text)


async def test_a_rotated_key_has_two_texts_for_a_time(world):
    old = await world.key()
    new = await world.directory.rotate_key(LOCAL, old.record.id, overlap=60)
    assert world.opens(old.text).key_id == world.opens(new.text).key_id == old.record.id
    world.now += 60
    assert not world.opens(old.text)
    assert world.opens(new.text)


async def test_a_key_rotated_again_forgets_the_oldest_text(world):
    first = await world.key()
    second = await world.directory.rotate_key(LOCAL, first.record.id, overlap=60)
    third = await world.directory.rotate_key(LOCAL, first.record.id, overlap=60)
    assert [bool(world.opens(each.text)) for each in (first, second, third)] == [False, True, True]


async def test_a_key_rotated_without_overlap_has_one_text(world):
    old = await world.key()
    new = await world.directory.rotate_key(LOCAL, old.record.id, overlap=0)
    assert (bool(world.opens(old.text)), bool(world.opens(new.text))) == (False, True)


async def test_a_key_works_from_its_networks_alone(world):
    text = (await world.key(networks=["10.1.0.0/16", "2001:db8::/32", "192.0.2.7"])).text
    inside = ["10.1.2.3", "2001:db8::1", "192.0.2.7", "::ffff:10.1.2.3"]
    outside = ["10.2.0.1", "192.0.2.8", "::1", None, "", "name"]
    assert all(world.opens(text, address) for address in inside)
    assert not any(world.opens(text, address) for address in outside)


async def test_an_admin_key_administers_and_infers_nothing(world):
    await world.directory.create(
        LOCAL, Kind.USER, {"name": "ada", "role": "operator", "reach": "organisation"}
    )
    caller = world.opens((await world.key(user="ada", operations=["admin"])).text)
    assert not caller.may_call("chat")
    actor = world.directory.actor(caller)
    assert (actor.name, actor.role, actor.organisation, actor.team) == (
        f"key:{caller.key_id}",
        Role.OPERATOR,
        "default",
        None,
    )


async def test_a_key_that_infers_administers_nothing(world):
    await world.directory.create(LOCAL, Kind.USER, {"name": "ada", "role": "admin"})
    caller = world.opens((await world.key(user="ada")).text)
    with pytest.raises(Forbidden):
        world.directory.actor(caller)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"models": []}, "models"),
        ({"models": ["*a"]}, "models"),
        ({"models": "a"}, "models"),
        ({"operations": ["train"]}, "operations"),
        ({"operations": ["admin", "chat"]}, "operations"),
        ({"operations": ["admin"]}, "user"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"networks": ["everywhere"]}, "networks"),
        ({"highest_tier": "urgent"}, "highest_tier"),
        ({"expires_at": 1.0}, "expires_at"),
        ({"expires_at": float("nan")}, "expires_at"),
        ({"expires_at": 1e300}, "expires_at"),
        ({"expires_at": 253_402_300_800.0}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"team": "nobody"}, "team"),
        ({"user": "nobody"}, "user"),
        ({"id": "x"}, "id"),
        ({"secrets": []}, "secrets"),
        ({"owner": "declared"}, "owner"),
        ({"made_by": "me"}, "made_by"),
        ({"revoked_at": None}, "revoked_at"),
    ],
)
async def test_a_field_that_cannot_be_is_named(world, fields, param):
    with pytest.raises(InvalidRequest) as refused:
        await world.key(**fields)
    assert refused.value.param == param
    assert not world.directory.list(LOCAL, Kind.KEY)


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan"), 1001, "2", True])
async def test_a_weight_is_a_positive_number(world, weight):
    with pytest.raises(InvalidRequest) as refused:
        await world.directory.create(LOCAL, Kind.TEAM, {"name": "t", "weight": weight})
    assert refused.value.param == "weight"


async def test_who_read_an_older_version_changes_nothing(world):
    team = await world.directory.create(LOCAL, Kind.TEAM, {"name": "t"})
    await world.directory.update(LOCAL, Kind.TEAM, "t", {"weight": 2.0}, expected=team.version)
    with pytest.raises(VersionMismatch):
        await world.directory.update(LOCAL, Kind.TEAM, "t", {"weight": 9.0}, expected=team.version)
    assert world.directory.read(LOCAL, Kind.TEAM, "t").weight == 2.0


async def test_what_others_belong_to_stays(world):
    await world.directory.create(LOCAL, Kind.ORGANISATION, {"name": "o"})
    await world.directory.create(LOCAL, Kind.TEAM, {"name": "t", "organisation": "o"})
    await world.directory.create(LOCAL, Kind.USER, {"name": "u", "team": "t"})
    key = (await world.key(team="t", user="u")).record
    whole = [(Kind.KEY, key.id), (Kind.USER, "u"), (Kind.TEAM, "t"), (Kind.ORGANISATION, "o")]
    for kind, name in reversed(whole):
        with pytest.raises(Conflict):
            await world.directory.delete(LOCAL, kind, name)
    await world.directory.revoke_key(LOCAL, key.id)
    for kind, name in whole:
        await world.directory.delete(LOCAL, kind, name)
        with pytest.raises(NotFound):
            world.directory.read(LOCAL, kind, name)


async def test_a_second_of_the_same_name_is_refused(world):
    await world.directory.create(LOCAL, Kind.TEAM, {"name": "t"})
    with pytest.raises(Conflict, match="already"):
        await world.directory.create(LOCAL, Kind.TEAM, {"name": "t"})


async def test_a_revoked_key_stops_at_every_gateway_with_its_next_look(world):
    text = (await world.key()).text
    other_directory, other_keys = world.gateway()
    assert other_keys.authenticate(text.encode())
    await world.directory.revoke_key(LOCAL, world.opens(text).key_id)
    assert not world.opens(text)
    assert await other_directory.refresh()
    with pytest.raises(Unauthenticated):
        other_keys.authenticate(text.encode())


async def test_nothing_is_changed_while_the_key_file_has_gone(world):
    text = (await world.key()).text
    await world.directory.refresh()
    kept = world.file.path.read_bytes()
    world.file.path.unlink()
    with pytest.raises(KeyFileError, match="restore it"):
        await world.directory.create(LOCAL, Kind.USER, {"name": "u"})
    assert not world.file.path.exists()
    assert world.opens(text)
    world.file.path.write_bytes(kept)
    world.file.path.chmod(0o600)
    await world.directory.create(LOCAL, Kind.USER, {"name": "u"})


async def test_one_who_writes_at_the_same_time_is_not_forgotten(world, monkeypatch):
    """What another wrote is read here before our own change is told of: the next look puts it right."""
    other, _ = world.gateway()

    async def overtaken(work, *arguments):
        monkeypatch.undo()
        ours = work(*arguments)
        await other.create(LOCAL, Kind.TEAM, {"name": "theirs"})
        assert await world.directory.refresh()
        return ours

    monkeypatch.setattr("gateway.auth.keys.asyncio.to_thread", overtaken)
    await world.directory.create(LOCAL, Kind.TEAM, {"name": "ours"})
    await world.directory.refresh()
    assert {"ours", "theirs"} <= set(world.directory.contents.teams)


DECLARED = contents_of(
    organisations=[Organisation(name="physics", owner=Owner.DECLARED, version=1)],
    teams=[Team(name="lab", organisation="physics", owner=Owner.DECLARED, version=1)],
    users=[User(name="ada", team="lab", owner=Owner.DECLARED, version=1)],
    keys=[
        Key(
            id="0" * 12,
            name="k",
            team="lab",
            secrets=(Secret(digest="0" * 64),),
            owner=Owner.DECLARED,
            version=1,
        )
    ],
)
NAMES = {Kind.ORGANISATION: "physics", Kind.TEAM: "lab", Kind.USER: "ada", Kind.KEY: "0" * 12}
REACHES = {
    Reach.TEAM: ("physics", "lab"),
    Reach.ORGANISATION: ("physics", None),
    Reach.EVERYTHING: (None, None),
}
MAY = {
    (Role.ADMIN, Reach.EVERYTHING): set(Kind),
    (Role.ADMIN, Reach.ORGANISATION): {Kind.TEAM, Kind.USER, Kind.KEY},
    (Role.ADMIN, Reach.TEAM): {Kind.USER, Kind.KEY},
    **{(Role.OPERATOR, reach): {Kind.KEY} for reach in Reach},
    **{(Role.VIEWER, reach): set() for reach in Reach},
}
"""What may be changed by whom. All see all that is within reach."""


def dynamic(contents):
    """The same, made with commands."""
    import msgspec

    return contents_of(
        **{
            kind.value: [
                msgspec.structs.replace(each, owner=Owner.DYNAMIC) for each in contents.of(kind).values()
            ]
            for kind in Kind
        }
    )


def changes(directory, actor, kind):
    """Every way to change an object, by name."""
    name = NAMES[kind]
    ways = {
        "delete": lambda: directory.delete(actor, kind, name),
        "update": lambda: directory.update(actor, kind, name, {"name": "l"} if kind is Kind.KEY else {}),
    }
    if kind is Kind.KEY:
        ways["rotate"] = lambda: directory.rotate_key(actor, name, overlap=0)
        ways["revoke"] = lambda: directory.revoke_key(actor, name)
    else:
        below = {Kind.TEAM: {"organisation": "physics"}, Kind.USER: {"team": "lab"}}.get(kind, {})
        ways["create"] = lambda: directory.create(actor, kind, {"name": "new", **below})
    return ways


@pytest.mark.parametrize("owner", Owner)
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("reach", Reach)
@pytest.mark.parametrize("kind", Kind)
async def test_role_reach_owner_and_operation(tmp_path, role, reach, kind, owner):
    world = World(tmp_path)
    if owner is Owner.DYNAMIC:
        world.file.change(lambda _: dynamic(DECLARED))
    organisation, team = REACHES[reach]
    inside = Actor("inside", role, organisation, team)
    outside = Actor("outside", role, "default", "default")
    for way in changes(world.directory, inside, kind):
        directory, _ = world.gateway(DECLARED if owner is Owner.DECLARED else None)
        assert directory.read(inside, kind, NAMES[kind]).name
        with pytest.raises(NotFound):
            directory.read(outside, kind, NAMES[kind])
        assert NAMES[kind] not in {each.id for each in directory.list(outside, kind)}
        if way != "create":
            with pytest.raises(NotFound):
                await changes(directory, outside, kind)[way]()
        expected = (
            Forbidden
            if kind not in MAY[role, reach]
            else Conflict
            if (owner is Owner.DECLARED and way != "create") or (way == "delete" and kind is not Kind.USER)
            else None
        )
        if way == "delete" and kind is Kind.USER and owner is Owner.DYNAMIC:
            continue  # nothing hangs on it: see the test of what others belong to
        before = directory.contents
        if expected is None:
            await changes(directory, inside, kind)[way]()
        else:
            with pytest.raises(expected):
                await changes(directory, inside, kind)[way]()
            assert directory.contents == before


async def test_a_declared_object_and_a_dynamic_one_of_one_name_are_refused_at_the_start(world):
    await world.directory.create(LOCAL, Kind.TEAM, {"name": "lab"})
    with pytest.raises(DirectoryConflict, match="team 'lab'"):
        merged(DECLARED, world.directory.contents)


async def test_a_declared_team_takes_the_place_of_one_that_only_keys_named(world):
    world.file.create("old", tenant="lab")
    assert merged(DECLARED, world.file.contents()).teams["lab"].organisation == "physics"


def test_a_declared_object_that_belongs_to_nothing_is_refused():
    alone = contents_of(teams=[Team(name="lab", organisation="physics", owner=Owner.DECLARED, version=1)])
    with pytest.raises(DirectoryConflict, match="organisation 'physics'"):
        merged(alone, Contents())


MAKER = Actor(
    "maker",
    Role.OPERATOR,
    "default",
    models=("a*", "b"),
    networks=("10.0.0.0/8",),
    highest_tier=Tier.DEFAULT,
    expires_at=2_000_000.0,
)


async def test_what_a_maker_leaves_out_is_what_it_has(world):
    key = (await world.key(MAKER)).record
    assert (key.models, key.networks, key.highest_tier, key.expires_at, key.made_by) == (
        ("a*", "b"),
        ("10.0.0.0/8",),
        "default",
        2_000_000.0,
        "maker",
    )


@pytest.mark.parametrize(
    "more",
    [
        {"models": ["c"]},
        {"models": ["*"]},
        {"models": ["b*"]},
        {"networks": ["10.0.0.0/7"]},
        {"networks": ["::/0"]},
        {"highest_tier": "priority"},
        {"expires_at": 2_000_001.0},
        {"operations": ["admin"], "user": "ada"},
        {"operations": ["admin"], "user": "op"},
    ],
    ids=str,
)
async def test_nobody_grants_more_than_they_have(world, more):
    await world.directory.create(LOCAL, Kind.USER, {"name": "ada", "role": "admin"})
    await world.directory.create(LOCAL, Kind.USER, {"name": "op", "role": "operator"})
    with pytest.raises(Forbidden):
        await world.key(MAKER, **more)
    small = (await world.key(MAKER, user=more.get("user"))).record
    changed = {name: value for name, value in more.items() if name != "user"}
    with pytest.raises(Forbidden):
        await world.directory.update(MAKER, Kind.KEY, small.id, changed)


async def test_nobody_takes_over_a_wider_key_by_rotating_it(world):
    wide = (await world.key()).record
    with pytest.raises(Forbidden):
        await world.directory.rotate_key(MAKER, wide.id, overlap=0)
    await world.directory.revoke_key(MAKER, wide.id)


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        (Kind.USER, "ada", {"role": "admin", "reach": "everything"}),
        (Kind.USER, "root", {"suspended": True}),
        (Kind.TEAM, "default", {"weight": 100.0}),
    ],
)
async def test_an_admin_of_an_organisation_stays_within_it(world, kind, name, fields):
    await world.directory.create(LOCAL, Kind.USER, {"name": "ada"})
    await world.directory.create(LOCAL, Kind.USER, {"name": "root", "role": "admin", "reach": "everything"})
    admin = Actor("admin", Role.ADMIN, "default")
    with pytest.raises(Forbidden):
        await world.directory.update(admin, kind, name, fields)


async def administrator(world, **key):
    """The new and the old text of an admin key of the whole directory that was rotated: the old one ends in 60 s."""
    await world.directory.create(LOCAL, Kind.USER, {"name": "root", "role": "admin", "reach": "everything"})
    old = await world.key(user="root", operations=["admin"], **key)
    new = await world.directory.rotate_key(LOCAL, old.record.id, overlap=60)
    return new, old


async def test_what_the_old_text_of_a_rotated_key_makes_ends_with_it(world):
    new, old = await administrator(world)
    actor = world.directory.actor(world.opens(old.text))
    assert (await world.key(actor)).record.expires_at == world.now + 60
    with pytest.raises(Forbidden, match=r"outlast the credential you use, which ends at 1970-01-12T13:47:40"):
        await world.key(actor, expires_at=world.now + 61)
    with pytest.raises(Forbidden, match="outlast"):
        await world.directory.rotate_key(actor, old.record.id, overlap=0)
    world.now += 60
    with pytest.raises(Forbidden, match="ended"):
        await world.key(actor)
    unbounded = world.directory.actor(world.opens(new.text))
    assert (await world.key(unbounded)).record.expires_at is None


async def test_a_wider_role_for_lasting_keys_takes_a_lasting_credential(world):
    _, old = await administrator(world)
    actor = world.directory.actor(world.opens(old.text))
    await world.directory.create(LOCAL, Kind.USER, {"name": "eve", "role": "viewer"})
    kept = await world.key(user="eve", operations=["admin"])
    for wider in ({"role": "operator"}, {"reach": "everything"}):
        with pytest.raises(Forbidden, match="outlast"):
            await world.directory.update(actor, Kind.USER, "eve", wider)
    await world.directory.update(actor, Kind.USER, "eve", {"role": None})
    await world.directory.revoke_key(LOCAL, kept.record.id)
    await world.directory.update(actor, Kind.USER, "eve", {"role": "operator"})


async def test_a_key_that_was_revoked_or_lost_its_role_changes_nothing_more(world):
    new, _ = await administrator(world)
    actor = world.directory.actor(world.opens(new.text))
    await world.directory.update(LOCAL, Kind.USER, "root", {"role": "operator"})
    with pytest.raises(Forbidden, match="meanwhile"):
        await world.key(actor)
    actor = world.directory.actor(world.opens(new.text))
    await world.key(actor)
    other, _ = world.gateway()
    await other.revoke_key(LOCAL, new.record.id)
    with pytest.raises(Forbidden, match="meanwhile"):
        await world.key(actor)


async def test_a_team_that_an_admin_of_an_organisation_makes_weighs_no_more_than_their_own(world):
    directory = world.directory
    await directory.create(
        LOCAL, Kind.TEAM, {"name": "lab", "weight": 0.5, "models": ["a*"], "highest_tier": "default"}
    )
    await directory.create(LOCAL, Kind.TEAM, {"name": "big", "weight": 5.0, "models": ["a1"]})
    await directory.create(
        LOCAL, Kind.USER, {"name": "ada", "team": "lab", "role": "admin", "reach": "organisation"}
    )
    actor = directory.actor(world.opens((await world.key(team="lab", user="ada", operations=["admin"])).text))
    made = await directory.create(actor, Kind.TEAM, {"name": "new", "models": None})
    assert (made.weight, made.models, made.highest_tier) == (0.5, ("a*",), "default")
    with pytest.raises(Forbidden, match=r"weight is over 0\.5"):
        await directory.create(actor, Kind.TEAM, {"name": "newer", "weight": 0.6})
    await directory.update(actor, Kind.TEAM, "new", {"weight": 0.1})
    with pytest.raises(Forbidden, match=r"weight is over 0\.1"):
        await directory.update(actor, Kind.TEAM, "new", {"weight": 0.5})
    with pytest.raises(InvalidRequest):
        await directory.create(actor, Kind.TEAM, {"name": "newer", "owner": None})
