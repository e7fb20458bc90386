"""Tokens of an identity provider: who gets in, who does not, and what each costs."""

import asyncio
import base64
import json
from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.directory.contents import contents_of
from gateway.auth.directory.records import Kind, Organisation, Team, User
from gateway.auth.jwt.issuer import Issuer
from gateway.auth.jwt.keys import LEAST_PAUSE, IssuerKeys
from gateway.auth.jwt.keyset import UnusableKeySet, key_set
from gateway.auth.jwt.tokens import LONGEST_TOKEN, MAX_KNOWN, Tokens
from gateway.auth.refusal import REFUSED, Reason, Refusals
from gateway.core.call import Reach, Role, Tier
from gateway.core.errors import StoreUnavailable, Unauthenticated
from tests.support.issuer import AUDIENCE, ISSUER, TestIssuer

RS256 = frozenset({"RS256"})
PEOPLE = contents_of(
    organisations=[Organisation(name="physics"), Organisation(name="closed", suspended=True)],
    teams=[
        Team(name="lab", organisation="physics", weight=3.0, models=("a*", "b")),
        Team(name="shut", organisation="physics", suspended=True),
        Team(name="shut-too", organisation="closed"),
    ],
    users=[User(name="eve", team="lab", suspended=True)],
)
PLAIN = Issuer(name="sso", issuer=ISSUER, audience=AUDIENCE, algorithms=RS256, team="lab")


class KeysOnly:
    """Stands where API keys are checked; takes one."""

    def authenticate(self, credential, address=None):
        raise Unauthenticated(f"asked with {credential!r} from {address!r}")


class World:
    def __init__(self, issuer=PLAIN, **more):
        self.provider = TestIssuer()
        self.keys = IssuerKeys(ISSUER, issuer.algorithms, self.provider.fetch, **more)
        self.keys.take(self.provider.document())
        self.refusals = Refusals()
        self.tokens = Tokens(
            [(issuer, self.keys)], KeysOnly(), self.refusals, clock=lambda: self.provider.now
        )
        self.tokens.publish(PEOPLE)

    def caller(self, token):
        return self.tokens.authenticate(token)

    def reason(self, token):
        """Why it is refused; `None` when it is not."""
        before = dict(self.refusals.counts)
        said = None
        try:
            self.tokens.authenticate(token)
        except Unauthenticated as error:
            said = str(error)
        moved = [Reason(name) for name, count in self.refusals.counts.items() if count != before[name]]
        assert (said, len(moved)) in {(None, 0), (REFUSED, 1)}
        return moved[0] if moved else None


@pytest.fixture(scope="module")
def shared():
    """For tests that change nothing: a key takes a tenth of a second to make."""
    return World()


def test_a_good_token_is_its_callers(shared):
    caller = shared.caller(shared.provider.token())
    assert (caller.tenant, caller.organisation, caller.user) == ("lab", "physics", "ada")
    assert (caller.key_id, caller.weight, caller.role) == ("sso:ada", 3.0, None)
    assert [model for model in ("ab", "b", "c") if caller.may_use(model)] == ["ab", "b"]


@pytest.mark.parametrize("algorithm", ["RS256", "PS512", "ES256", "Ed25519"])
def test_every_algorithm_that_can_be_allowed(algorithm):
    world = World(replace(PLAIN, algorithms=frozenset({"RS256", algorithm})))
    world.provider.rotate("k2", algorithm)
    world.keys.take(world.provider.document())
    assert world.caller(world.provider.token()).user == "ada"


def another(issuer):
    other = TestIssuer()
    return other.token()


def spliced(issuer):
    good, other = issuer.token().split(b"."), issuer.token(sub="root").split(b".")
    return b".".join((good[0], other[1], good[2]))


def rewritten(issuer, **head):
    """A good token with another head, which its signature does not cover."""
    _, claims, signature = issuer.token().split(b".")
    first = issuer._parts({"typ": "JWT", "alg": "RS256", "kid": "k1", **head}, {}).split(b".")[0]
    return b".".join((first, claims, signature))


def deep(issuer):
    claims = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}").rstrip(b"=")
    return b".".join((issuer.token().split(b".")[0], claims[:7000], b"x"))


ATTACKS = {
    "no algorithm": (lambda issuer: issuer.unsigned(), Reason.TOKEN_SIGNATURE),
    "no algorithm in capitals": (lambda issuer: issuer.unsigned("NONE"), Reason.TOKEN_SIGNATURE),
    "a good algorithm and no signature": (lambda issuer: issuer.unsigned("RS256"), Reason.TOKEN_SIGNATURE),
    "HMAC with the public key": (
        lambda issuer: issuer.signed_with_the_public_key("pem"),
        Reason.TOKEN_SIGNATURE,
    ),
    "HMAC with the key as JSON": (
        lambda issuer: issuer.signed_with_the_public_key("jwk"),
        Reason.TOKEN_SIGNATURE,
    ),
    "another's signature": (another, Reason.TOKEN_SIGNATURE),
    "changed claims": (spliced, Reason.TOKEN_SIGNATURE),
    "another issuer": (lambda issuer: issuer.token(iss="https://evil.test"), Reason.TOKEN_CLAIMS),
    "the issuer with a slash": (lambda issuer: issuer.token(iss=ISSUER + "/"), Reason.TOKEN_CLAIMS),
    "no issuer": (lambda issuer: issuer.token(iss=None), Reason.TOKEN_CLAIMS),
    "another audience": (lambda issuer: issuer.token(aud="other"), Reason.TOKEN_CLAIMS),
    "other audiences": (lambda issuer: issuer.token(aud=["a", "b"]), Reason.TOKEN_CLAIMS),
    "no audience": (lambda issuer: issuer.token(aud=None), Reason.TOKEN_CLAIMS),
    "expired": (lambda issuer: issuer.token(exp=issuer.now - 30), Reason.EXPIRED),
    "no end": (lambda issuer: issuer.token(exp=None), Reason.TOKEN_CLAIMS),
    "an end in words": (lambda issuer: issuer.token(exp="2999"), Reason.TOKEN_CLAIMS),
    "an end beyond time": (lambda issuer: issuer.token(exp=1e300), Reason.TOKEN_CLAIMS),
    "not yet": (lambda issuer: issuer.token(nbf=issuer.now + 31), Reason.TOKEN_CLAIMS),
    "made in the future": (lambda issuer: issuer.token(iat=issuer.now + 31), Reason.TOKEN_CLAIMS),
    "nobody": (lambda issuer: issuer.token(sub=None), Reason.TOKEN_CLAIMS),
    "an empty name": (lambda issuer: issuer.token(sub=""), Reason.TOKEN_CLAIMS),
    "a name with a line end": (lambda issuer: issuer.token(sub="a\nb"), Reason.TOKEN_CLAIMS),
    "a long name": (lambda issuer: issuer.token(sub="a" * 201), Reason.TOKEN_CLAIMS),
    "a suspended user": (lambda issuer: issuer.token(sub="eve"), Reason.TOKEN_CLAIMS),
    "an unknown key": (lambda issuer: issuer.token({"kid": "k9"}), Reason.TOKEN_KEY),
    "a long key id": (lambda issuer: issuer.token({"kid": "k" * 257}), Reason.TOKEN_MALFORMED),
    "critical extensions": (lambda issuer: rewritten(issuer, crit=["exp"]), Reason.TOKEN_MALFORMED),
    "another type": (lambda issuer: issuer.token({"typ": "dpop+jwt"}), Reason.TOKEN_MALFORMED),
    "a type that is a list": (lambda issuer: rewritten(issuer, typ=[]), Reason.TOKEN_MALFORMED),
    "an algorithm that is a list": (lambda issuer: rewritten(issuer, alg=["RS256"]), Reason.TOKEN_MALFORMED),
    "huge": (lambda issuer: issuer.token(junk="x" * LONGEST_TOKEN), Reason.TOKEN_MALFORMED),
    "five parts": (lambda issuer: issuer.token() + b".a.b", Reason.TOKEN_MALFORMED),
    "no parts": (lambda issuer: b"eyJ", Reason.TOKEN_MALFORMED),
    "deep": (deep, Reason.TOKEN_MALFORMED),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_bad_token_is_refused_like_any_bad_key(shared, attack):
    make, reason = ATTACKS[attack]
    assert shared.reason(make(shared.provider)) is reason


@given(st.binary(max_size=400))
def test_no_bytes_pass_for_a_token(shared, junk):
    assert shared.reason(b"eyJ" + junk) is not None


@given(st.data())
def test_any_changed_byte_is_refused(shared, data):
    token = shared.provider.token()
    at = data.draw(st.integers(3, len(token) - 3))  # the last byte's low bits mean nothing
    changed = token[:at] + bytes([data.draw(st.sampled_from(b"aZ09-_.=!"))]) + token[at + 1 :]
    assert (shared.reason(changed) is None) == (changed == token)


def test_clocks_may_differ_by_the_leeway(shared):
    now = shared.provider.now
    assert shared.caller(shared.provider.token(exp=now - 29, nbf=now + 29, iat=now + 29))


def test_what_is_no_token_is_a_keys_matter(shared):
    for credential in (b"gw_local_x", b"", None, b"ey"):
        with pytest.raises(Unauthenticated, match="asked with"):
            shared.tokens.authenticate(credential, "192.0.2.1")


def test_a_token_costs_one_signature_until_it_ends():
    world = World()
    token = world.provider.token()
    before = world.tokens.verified
    for _ in range(5):
        world.caller(token)
    assert world.tokens.verified == before + 1
    world.provider.now += 630
    assert world.reason(token) is Reason.EXPIRED
    assert world.reason(token) is Reason.EXPIRED


def test_tokens_that_are_known_are_bounded(monkeypatch):
    monkeypatch.setattr("gateway.auth.jwt.tokens.MAX_KNOWN", 3)
    world = World()
    for number in range(5):
        world.caller(world.provider.token(jti=str(number)))
    assert len(world.tokens._known) == 3
    assert MAX_KNOWN == 10_000


def test_a_suspension_reaches_tokens_that_are_known():
    world = World()
    token = world.provider.token()
    assert world.caller(token)
    suspended = contents_of(
        organisations=PEOPLE.organisations.values(),
        teams=[Team(name="lab", organisation="physics", suspended=True)],
    )
    world.tokens.publish(suspended)
    assert world.reason(token) is Reason.TOKEN_CLAIMS


def test_a_good_token_is_neither_taken_nor_refused_while_nobody_knows_its_team():
    world = World()
    good, closed = world.provider.token(), world.provider.token(sub="eve")
    world.tokens.is_unread = lambda: True
    with pytest.raises(StoreUnavailable):
        world.caller(good)
    assert world.reason(good[:-4] + b"AAAA") is Reason.TOKEN_SIGNATURE
    world.tokens.is_unread = lambda: False
    world.tokens.is_stale = lambda: True
    assert world.caller(good)
    with pytest.raises(StoreUnavailable):
        world.caller(closed)


def test_a_rotated_key_is_taken_and_a_withdrawn_one_refused():
    world = World()
    old = world.provider.token()
    world.provider.rotate("k2")
    new = world.provider.token()
    assert world.reason(new) is Reason.TOKEN_KEY
    world.keys.take(world.provider.document())
    assert world.caller(old)
    assert world.caller(new)
    del world.provider.keys["k1"]
    world.keys.take(world.provider.document())
    assert world.reason(old) is Reason.TOKEN_KEY
    assert world.caller(new)


async def followed(world, monkeypatch, rounds):
    """Run `follow` with sleeps that take no time but are counted; returns the seconds slept."""
    slept = []
    sleep = asyncio.sleep

    async def counted(seconds):
        slept.append(seconds)
        await sleep(0)
        if len(slept) >= rounds:
            raise asyncio.CancelledError

    monkeypatch.setattr("gateway.auth.jwt.keys.asyncio.sleep", counted)
    with pytest.raises(asyncio.CancelledError):
        await world.keys.follow()
    return slept


async def test_a_flood_of_unknown_keys_asks_once_in_a_while(monkeypatch):
    world = World()
    for number in range(1000):
        assert world.reason(world.provider.token({"kid": f"x{number}"})) is Reason.TOKEN_KEY
    assert world.provider.fetched == 0
    assert await followed(world, monkeypatch, 2) == [LEAST_PAUSE] * 2
    assert world.provider.fetched == 2


async def test_a_new_key_is_there_after_one_more_look(monkeypatch):
    world = World()
    world.provider.rotate("k2")
    token = world.provider.token()
    assert world.reason(token) is Reason.TOKEN_KEY
    await followed(world, monkeypatch, 1)
    assert world.caller(token)


async def test_an_issuer_that_is_away_leaves_its_keys_in_force(tmp_path):
    world = World(cache=tmp_path / "jwks" / "a.json")
    await world.keys.refresh()
    world.provider.is_away = True
    await world.keys.refresh()
    assert "connection refused" in world.keys.problem
    assert world.caller(world.provider.token())


async def test_keys_outlast_a_restart_without_the_issuer(tmp_path):
    cache = tmp_path / "jwks" / "a.json"
    world = World(cache=cache)
    assert cache.stat().st_mode & 0o777 == 0o600
    world.provider.is_away = True
    again = IssuerKeys(ISSUER, RS256, world.provider.fetch, cache=cache)
    await again.refresh()
    assert again.current.keys.keys() == world.keys.current.keys.keys()


@pytest.mark.parametrize("cached", [b"{", b'{"keys": 1}'])
async def test_a_broken_cache_stops_nothing(tmp_path, cached):
    cache = tmp_path / "a.json"
    cache.write_bytes(cached)
    cache.chmod(0o600)
    provider = TestIssuer()
    keys = IssuerKeys(ISSUER, RS256, provider.fetch, cache=cache)
    assert keys.current is None
    await keys.refresh()
    assert keys.current is not None
    assert keys.problem is None


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}' + b" " * 300_000,
    ],
)
async def test_what_is_no_key_set_leaves_the_former_keys(document):
    with pytest.raises(UnusableKeySet):
        key_set(document, RS256)
    world = World()
    world.provider.document = lambda: document
    await world.keys.refresh()
    assert world.keys.problem
    assert world.caller(world.provider.token())


@pytest.mark.parametrize(
    "document",
    [
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1", "alg": "RS256"}]}',
        b'{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}',
        b'{"keys": [{"kty": "RSA"}, 1, null, {"kty": ["RSA"]}]}',
    ],
)
async def test_a_key_set_without_a_usable_key_withdraws_the_former_ones(document, tmp_path):
    world = World(cache=tmp_path / "a.json")
    token = world.provider.token()
    assert world.caller(token)
    world.provider.document = lambda: document
    await world.keys.refresh()
    assert "none of its keys" in world.keys.problem
    assert world.reason(token) is Reason.TOKEN_KEY
    again = IssuerKeys(ISSUER, RS256, world.provider.fetch, cache=tmp_path / "a.json")
    assert not again.current.keys


@pytest.mark.parametrize("more", [{"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "RS512"}, {"kid": 1}])
def test_a_key_for_something_else_is_not_used(shared, more):
    entry = {**shared.provider.keys["k1"].as_dict(private=False), **more}
    assert not key_set(json.dumps({"keys": [entry]}).encode(), RS256).keys


def test_a_token_without_a_key_id_is_taken_where_there_is_one_key():
    world = World()
    nameless = world.provider.token({"kid": None})
    assert world.caller(nameless)
    world.provider.rotate("k2")
    world.keys.take(world.provider.document())
    assert world.reason(nameless) is Reason.TOKEN_KEY


MAPPED = replace(
    PLAIN,
    team=None,
    team_claim="realm.groups",
    teams=MappingProxyType({"g-lab": "lab", "g-shut": "shut", "g-gone": "gone"}),
    organisation_claim="org",
    tier_claim="plan",
    tiers=MappingProxyType({"gold": "priority"}),
    highest_tier="flex",
)


def test_claims_say_team_organisation_and_tier():
    world = World(MAPPED)
    token = world.provider.token(
        realm={"groups": ["x", "g-gone", "g-lab"]}, org=["physics"], plan="gold", sub="bob"
    )
    assert world.caller(token).tenant == "lab"
    assert world.caller(token).highest_tier is Tier.PRIORITY
    plain = world.provider.token(realm={"groups": "g-lab"}, org="physics", plan="tin")
    assert world.caller(plain).highest_tier is Tier.FLEX


@pytest.mark.parametrize(
    "claims",
    [
        {"realm": {"groups": ["lab"]}, "org": "physics"},
        {"realm": {"groups": ["g-shut"]}, "org": "physics"},
        {"realm": {"groups": ["g-gone"]}, "org": "physics"},
        {"realm": {"groups": ["g-lab"]}, "org": "chemistry"},
        {"realm": {"groups": ["g-lab"]}},
        {"realm": ["g-lab"], "org": "physics"},
        {"realm": {"groups": {"g-lab": True}}, "org": "physics"},
    ],
)
def test_claims_that_lead_to_no_open_team_are_refused(claims):
    world = World(MAPPED)
    assert world.reason(world.provider.token(**claims)) is Reason.TOKEN_CLAIMS


ADMIN = replace(
    PLAIN,
    is_admin=True,
    role_claim="groups",
    roles=MappingProxyType({"a": Role.ADMIN, "v": Role.VIEWER}),
    reach=Reach.EVERYTHING,
)


def test_a_token_for_the_administration_has_the_highest_of_its_roles_and_infers_nothing():
    world = World(ADMIN)
    caller = world.caller(world.provider.token(groups=["v", "a", "z"]))
    assert (caller.role, caller.reach, caller.may_call("chat")) == (Role.ADMIN, Reach.EVERYTHING, False)
    assert world.reason(world.provider.token(groups=["z"])) is Reason.TOKEN_CLAIMS


def test_a_suspended_user_of_another_team_is_somebody_else():
    people = PEOPLE.holding(Kind.TEAM, Team(name="other", organisation="physics"))
    claims = {"sub": "eve"}
    assert PLAIN.principal_of(claims, people) is None
    assert replace(PLAIN, team="other").principal_of(claims, people) is not None


def test_a_role_in_a_token_for_inference_is_not_looked_at():
    world = World(replace(ADMIN, is_admin=False))
    caller = world.caller(world.provider.token(groups=["a"]))
    assert (caller.role, caller.may_call("chat")) == (None, True)


def test_a_long_name_has_a_short_key_id_of_its_own(shared):
    ids = {shared.caller(shared.provider.token(sub=letter * 200)).key_id for letter in "ab"}
    assert len(ids) == 2
    assert all(len(each) <= 128 for each in ids)


@pytest.mark.parametrize(("may_outlast", "end"), [(False, 600), (True, None)])
def test_what_an_administrator_makes_ends_with_their_token_unless_it_may_outlast_it(may_outlast, end):
    roles = MappingProxyType({"boss": Role.ADMIN})
    world = World(
        replace(PLAIN, is_admin=True, role_claim="role", roles=roles, keys_outlast_tokens=may_outlast)
    )
    caller = world.caller(world.provider.token(role="boss"))
    assert caller.expires_at == (None if end is None else world.provider.now + end)
