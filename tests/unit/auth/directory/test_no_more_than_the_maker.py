"""Nobody grants more than they have: whatever is done with one credential, in any order, all that comes of it is within it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.callers import Keys
from gateway.auth.directory.contents import Contents, contents_of
from gateway.auth.directory.directory import Directory
from gateway.auth.directory.records import Key, Kind, Organisation, Secret, Team, User
from gateway.auth.directory.store import Edit
from gateway.auth.keytext import Hmac, Mint
from gateway.auth.refusal import Refusals
from gateway.core.call import Principal, Reach, Role
from gateway.core.errors import GatewayError

NOW = 1_000_000.0
FOREVER = float("inf")
TIMES = tuple(NOW + seconds for seconds in (10, 20, 30, 40, 50))
MODELS = ("a1", "a2", "b1", "b2", "c")
PATTERNS = ("*", "a*", "a1", "b*", "b2", "c")
ADDRESSES = ("10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1")
NETWORKS = ("10.0.0.0/8", "10.0.0.0/16", "192.0.2.0/24", "2001:db8::/32", "::/0", "0.0.0.0/0")
OPERATIONS = ("chat", "models")
ROLES, REACHES = list(Role), list(Reach)
RANK = {None: -1, Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}


class Memory:
    """A store that is a variable."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents

    async def fetch(self) -> Contents | None:
        return self.contents

    async def change(self, edit: Edit) -> Contents:
        self.contents = edit(self.contents)
        return self.contents


@dataclass(frozen=True)
class Powers:
    """All that a credential is good for, as a caller would find out by trying."""

    models: frozenset[str]
    addresses: frozenset[str]
    tier: int
    end: float
    role: int
    teams: frozenset[str]
    """Whose part of the directory it works on; for inference, that it is of."""

    def exceeds(self, other: Powers) -> list[str]:
        return [
            name
            for name, is_more in {
                "models": not self.models <= other.models,
                "addresses": not self.addresses <= other.addresses,
                "tier": self.tier > other.tier,
                "end": self.end > other.end,
                "role": self.role > other.role,
                "teams": not self.teams <= other.teams,
            }.items()
            if is_more
        ]


class World:
    """A directory, and one who has the text of one key and does with it what can be done."""

    def __init__(self, contents: Contents, first: str) -> None:
        self.now = NOW
        rng = random.Random(1)
        mint = Mint(Hmac(b"p" * 32), rng.randbytes)
        texts = {}
        for key in contents.keys.values():
            made = [mint.make(public=key.id) for _ in key.secrets]
            secrets = tuple(
                msgspec.structs.replace(secret, digest=each.digest)
                for secret, each in zip(key.secrets, made, strict=True)
            )
            contents = contents.holding(Kind.KEY, msgspec.structs.replace(key, secrets=secrets))
            texts[key.id] = [each.text for each in made]
        self.keys = Keys(mint, Refusals(), clock=lambda: self.now)
        self.directory = Directory(
            Memory(contents),
            Contents(),
            lambda: mint,
            operations=OPERATIONS,
            clock=lambda: self.now,
            on_change=self.keys.publish,
        )
        self.directory.publish(contents)
        self.had = [texts[first][-1]]
        """What this one has: at first the oldest text of a key, then also what was made with it."""
        self.others = [text for name, each in texts.items() for text in each if name != first]

    def caller(self, text: str) -> Principal | None:
        opened = (self._opened(text, address) for address in ADDRESSES)
        return next((caller for caller in opened if caller is not None), None)

    def powers(self, text: str) -> Powers | None:
        """`None` for a text that opens nothing."""
        opened = {address: self._opened(text, address) for address in ADDRESSES}
        addresses = [address for address, caller in opened.items() if caller is not None]
        caller = opened[addresses[0]] if addresses else None
        if caller is None:
            return None
        contents = self.directory.contents
        teams = {
            team.name
            for team in contents.teams.values()
            if caller.role is not None
            and (
                caller.reach is Reach.EVERYTHING
                or (caller.reach is Reach.ORGANISATION and team.organisation == caller.organisation)
            )
        }
        return Powers(
            frozenset(model for model in MODELS if caller.may_use(model)),
            frozenset(addresses),
            caller.highest_tier,
            self._end(text, addresses[0]),
            RANK[caller.role],
            frozenset(teams | {caller.tenant}),
        )

    def _opened(self, text: str, address: str) -> Principal | None:
        try:
            return self.keys.authenticate(text.encode(), address)
        except GatewayError:
            return None

    def _end(self, text: str, address: str) -> float:
        """By trying: the clock is put on until it does not open any more."""
        now = self.now
        try:
            for end in TIMES:
                self.now = max(now, end)
                if self._opened(text, address) is None:
                    return end
            self.now = FOREVER
            return FOREVER if self._opened(text, address) else TIMES[-1]
        finally:
            self.now = now


ends = st.sampled_from([None, *TIMES])
some_models = st.one_of(
    st.none(), st.none(), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True)
)
some_networks = st.one_of(st.none(), st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=2, unique=True))
tiers = st.sampled_from(["flex", "default", "priority"])
TEAMS = {"t1": "o1", "t2": "o1", "t3": "o2"}
USERS = {"u1": "t1", "v1": "t1", "u2": "t2", "u3": "t3"}
FIRST = "0" * 12


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@st.composite
def people(draw: st.DrawFn) -> Contents:
    teams = [
        Team(
            name=name,
            organisation=organisation,
            weight=draw(st.sampled_from([0.1, 1.0, 5.0])),
            highest_tier=draw(tiers),
            models=_tuple(draw(some_models)),
            version=1,
        )
        for name, organisation in TEAMS.items()
    ]
    users = [
        User(
            name=name,
            team=team,
            role=draw(
                st.sampled_from([Role.ADMIN, Role.ADMIN, Role.OPERATOR] if name == "u1" else [None, *ROLES])
            ),
            reach=draw(st.sampled_from(REACHES)),
            version=1,
        )
        for name, team in USERS.items()
    ]
    keys = []
    for index, user in enumerate(["u1", *draw(st.lists(st.sampled_from([None, *USERS]), max_size=4))]):
        is_admin = user is not None and (index == 0 or draw(st.booleans()))
        old = draw(st.one_of(st.none(), ends))
        keys.append(
            Key(
                id=str(index) * 12,
                name="k",
                team="t1" if user is None else USERS[user],
                user=user,
                models=_tuple(draw(some_models)),
                networks=_tuple(draw(some_networks)),
                operations=("admin",) if is_admin else None,
                highest_tier=draw(tiers),
                expires_at=draw(ends),
                secrets=(Secret(digest=""), *([Secret(digest="", expires_at=old)] if old else ())),
                version=1,
            )
        )
    return contents_of(
        organisations=[Organisation(name=name, version=1) for name in ("o1", "o2")],
        teams=teams,
        users=users,
        keys=keys,
    )


fields_of = {
    Kind.TEAM: st.one_of(
        st.fixed_dictionaries({}, optional={"models": some_models, "highest_tier": tiers}),
        st.fixed_dictionaries({"weight": st.sampled_from([0.05, 1.0, 5.0, 50.0])}),
    ),
    Kind.USER: st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from([None, *(role.value for role in ROLES)]),
            "reach": st.sampled_from([reach.value for reach in REACHES]),
        },
    ),
    Kind.KEY: st.fixed_dictionaries(
        {},
        optional={
            "models": some_models,
            "networks": some_networks,
            "highest_tier": tiers,
            "expires_at": ends,
            "operations": st.sampled_from([None, ["admin"], ["chat"]]),
        },
    ),
}
ways = st.sampled_from(["create", "update", "rotate", "revoke", "create", "update", "rotate"])


async def act(world: World, draw: Any) -> None:
    """One deed with one of the credentials that were come by."""
    text = draw(st.sampled_from(world.had))
    caller = world.caller(text)
    if caller is None or caller.role is None:
        return
    directory = world.directory
    actor = directory.actor(caller)
    way = draw(ways)
    kind = Kind.KEY if way in {"rotate", "revoke"} else draw(st.sampled_from(list(fields_of)))
    fields: dict[str, Any] = draw(fields_of[kind])
    if way == "create":
        if kind is Kind.KEY:
            user = draw(st.sampled_from([None, *directory.contents.users]))
            team = draw(st.sampled_from(list(TEAMS))) if user is None else directory.contents.users[user].team
            new = await directory.create_key(
                actor, {"name": "n", "team": team, **({"user": user} if user else {}), **fields}
            )
            world.had.append(new.text)
            return
        below = {"organisation": draw(st.sampled_from(["o1", "o2"]))} if kind is Kind.TEAM else {}
        if kind is Kind.USER:
            below = {"team": draw(st.sampled_from(list(directory.contents.teams)))}
        name = f"new{draw(st.integers(0, 2))}"
        await directory.create(actor, kind, {"name": name, **below, **fields})
        return
    name = draw(st.sampled_from(list(directory.contents.of(kind))))
    if way == "rotate":
        overlap = draw(st.sampled_from([0.0, 15.0, 1000.0]))
        world.had.append((await directory.rotate_key(actor, name, overlap=overlap)).text)
    elif way == "revoke":
        await directory.revoke_key(actor, name)
    else:
        await directory.update(actor, kind, name, fields)


def check_within(world: World, first: Powers, before: dict[str, Powers | None]) -> None:
    """All that was come by is within what there was at first; what others have has grown by no more than that."""
    made = frozenset(world.directory.contents.teams) - frozenset(TEAMS)
    whole = replace(first, teams=first.teams | made)
    for text in world.had[1:]:
        found = world.powers(text)
        assert found is None or not found.exceeds(whole), (found, whole)
    for text, then in before.items():
        found = world.powers(text)
        if found is None:
            continue
        now = replace(found, teams=found.teams - made)
        # None before: a key for the administration whose user had no role.
        was = then or replace(now, role=-1, teams=frozenset())
        grown = Powers(
            now.models - was.models,
            now.addresses - was.addresses,
            now.tier if now.tier > was.tier else 0,
            now.end if now.end > was.end or now.role > was.role or now.teams - was.teams else 0.0,
            now.role if now.role > was.role else -1,
            now.teams - was.teams,
        )
        assert not grown.exceeds(whole), (was, now, whole)


def check_weights(world: World, contents: Contents) -> None:
    """Whose reach is not everything has no more of the engines than before, nor any team of theirs more than their own."""
    own = contents.teams["t1"].weight
    for name, team in world.directory.contents.teams.items():
        assert team.weight <= (contents.teams[name].weight if name in contents.teams else own)


@settings(max_examples=150, deadline=None)
@given(people(), st.data())
def test_whatever_comes_of_a_credential_is_within_it(contents: Contents, data: st.DataObject) -> None:
    world = World(contents, FIRST)
    first = world.powers(world.had[0])
    if first is None:
        return

    async def live() -> None:
        for _ in range(6):
            before = {text: world.powers(text) for text in world.others}
            with contextlib.suppress(GatewayError):
                await act(world, data.draw)
            check_within(world, first, before)
            if contents.users["u1"].reach is not Reach.EVERYTHING:
                check_weights(world, contents)
            world.now += data.draw(st.sampled_from([0.0, 0.0, 3.0]))

    asyncio.run(live())
