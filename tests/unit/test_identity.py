"""What a configuration makes of callers: declared people and keys, and the contradictions that stop a start."""

import pytest

from config.load import load
from config.paths import Paths
from config.problems import ConfigErrors
from gateway.auth.directory.contents import DirectoryConflict
from gateway.auth.directory.records import Kind, Owner
from gateway.auth.directory.rules import LOCAL
from gateway.auth.keys import KeyFile
from gateway.auth.private import KeyFileError
from gateway.core.errors import Conflict, Unauthenticated
from gateway.databases import database_of
from gateway.identity import identity_of, opened

DECLARED = """
identity:
  organisations: [{name: physics}]
  teams: [{name: lab, organisation: physics, weight: 2, models: [llama-*]}]
  users: [{name: ada, team: lab, role: operator}]
  keys:
    - {name: ci, key: "${CI_KEY}", team: lab, user: ada, networks: [10.0.0.0/8], expires: 2027-01-31}
"""
LAST_DAY = 1_801_353_600.0
"""2027-01-31, 00:00 UTC."""


class Machine:
    def __init__(self, folder):
        self.paths = Paths(folder / "data")
        self.file = folder / "cascadia.yaml"
        self.keys = KeyFile(self.paths.keys, self.paths.pepper, clock=lambda: 1.0)
        self.environ = {}
        self.now = 1_700_000_000.0

    def config(self, text):
        self.file.write_text(text)
        self.file.chmod(0o600)
        return load(self.file, self.environ).config

    def identity(self, text=""):
        config = self.config(text)
        return identity_of(config, self.paths, database_of(config, self.paths), clock=lambda: self.now)

    def elsewhere(self):
        """A key that was made with another program of ours."""
        made = KeyFile(self.file.parent / "other" / "k", self.file.parent / "other" / "p", clock=lambda: 1.0)
        return made.create("x").text


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


async def test_declared_people_and_keys_count_and_stay_as_they_are(machine):
    text = machine.environ["CI_KEY"] = machine.elsewhere()
    identity = machine.identity(DECLARED)
    caller = identity.authenticator.authenticate(text.encode(), "10.1.1.1")
    assert (caller.tenant, caller.organisation, caller.user, caller.weight) == ("lab", "physics", "ada", 2.0)
    assert caller.may_use("llama-3")
    assert not caller.may_use("mistral")
    for kind, name in ((Kind.TEAM, "lab"), (Kind.USER, "ada"), (Kind.KEY, caller.key_id)):
        assert identity.directory.read(LOCAL, kind, name).owner is Owner.DECLARED
        with pytest.raises(Conflict, match="declared in the configuration file"):
            await identity.directory.update(LOCAL, kind, name, {})
    dynamic = await identity.directory.create_key(LOCAL, {"name": "more", "team": "lab"})
    assert identity.authenticator.authenticate(dynamic.text.encode()).weight == 2.0
    machine.now = LAST_DAY
    with pytest.raises(Unauthenticated):
        identity.authenticator.authenticate(text.encode(), "10.1.1.1")


def test_a_key_is_declared_by_its_digest_as_keys_show_tells_it(machine):
    made = machine.keys.create("ci")
    record = made.record
    machine.paths.keys.unlink()
    declared = f"identity: {{keys: [{{name: ci, id: {record.id}, digest: {record.secrets[0].digest}}}]}}"
    assert machine.identity(declared).authenticator.authenticate(made.text.encode()).key_id == record.id


def test_a_key_is_declared_by_a_file(machine):
    text = machine.elsewhere()
    file = machine.file.with_name("ci.key")
    file.write_text(text + "\n")
    file.chmod(0o600)
    identity = machine.identity("identity: {keys: [{name: ci, key_file: ci.key}]}")
    assert identity.authenticator.authenticate(text.encode())
    file.chmod(0o644)
    with pytest.raises(ConfigErrors):
        machine.identity("identity: {keys: [{name: ci, key_file: ci.key}]}")


def test_what_is_no_whole_key_is_refused_at_the_start(machine):
    machine.environ["CI_KEY"] = machine.elsewhere()[:-1]
    with pytest.raises(KeyFileError, match="'ci': not an API key"):
        machine.identity(DECLARED)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("identity: {teams: [{name: lab, organisation: physics}]}", "organisation 'physics', which does not"),
        ("identity: {users: [{name: ada, team: lab}]}", "team 'lab', which does not exist"),
        ("identity: {teams: [{name: made}]}", "team 'made' is declared in the configuration, and was made"),
        ("identity: {keys: [{name: a, key: '${CI_KEY}', operations: [train]}]}", "'train' is none of"),
        ("identity: {keys: [{name: a, key: '${CI_KEY}', operations: [admin]}]}", "belongs to a user"),
    ],
)
async def test_a_directory_that_contradicts_itself_stops_the_start(machine, text, said):
    machine.environ["CI_KEY"] = machine.elsewhere()
    await machine.identity().directory.create(LOCAL, Kind.TEAM, {"name": "made"})
    with pytest.raises(DirectoryConflict, match=said):
        machine.identity(text)


@pytest.mark.parametrize(
    "text",
    [
        "identity: {teams: [{name: a}, {name: a}]}",
        "identity: {teams: [{name: '-a'}]}",
        "identity: {teams: [{name: a, weight: 0}]}",
        "identity: {teams: [{name: a, models: []}]}",
        "identity: {teams: [{name: a, models: ['*x']}]}",
        "identity: {users: [{name: a, role: king}]}",
        "identity: {keys: [{name: a}]}",
        "identity: {keys: [{name: a, id: lJws2K7tBW35}]}",
        "identity: {keys: [{name: a, key: x, key_file: y}]}",
        "identity: {keys: [{name: a, id: lJws2K7tBW35, digest: abc}]}",
        "identity: {keys: [{name: a, key: x, networks: [10.0.0.1/8]}]}",
        "identity: {keys: [{name: a, key: x, expires: soon}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, team: c}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, jwks_file: d}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, team: c, jwks_url: 'http://example.org/k'}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, team: c, jwks_url: 'https://u:p@example.org/k'}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, team: c, jwks_file: d, algorithms: [none]}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, team: c, jwks_file: d, algorithms: [HS256]}]}",
        "auth: {jwt: [{name: a, issuer: i, audience: b, team: c, jwks_file: d, use: admin}]}",
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(machine, text):
    with pytest.raises(ConfigErrors) as refused:
        machine.config(text)
    assert all(problem.where.startswith(f"{machine.file}:1:") for problem in refused.value.problems)


def test_two_issuers_of_one_audience_are_refused(machine):
    one = "{name: %s, issuer: i, audience: b, team: c, jwks_file: d}"
    with pytest.raises(ConfigErrors):
        machine.config(f"auth: {{jwt: [{one % 'x'}, {one % 'y'}]}}")


@pytest.mark.parametrize(
    ("text", "said"), [("{}", "not a JSON Web Key Set"), ('{"keys": []}', "none of its keys")]
)
def test_a_key_set_that_cannot_be_used_stops_the_start(machine, text, said):
    jwks = machine.file.with_name("keys.json")
    jwks.write_text(text)
    with pytest.raises(KeyFileError, match=said):
        machine.identity("auth: {jwt: [{name: a, issuer: i, audience: b, team: c, jwks_file: keys.json}]}")


async def test_commands_and_gateways_share_a_database(machine):
    machine.keys.create("before", tenant="lab")
    config = machine.config("identity: {store: database}")
    async with opened(config, machine.paths) as directory:
        new = await directory.create_key(LOCAL, {"name": "k", "team": "lab"})
    database = database_of(config, machine.paths)
    try:
        identity = identity_of(config, machine.paths, database, clock=lambda: machine.now)
        await identity.directory.start()
        assert identity.authenticator.authenticate(new.text.encode()).tenant == "lab"
    finally:
        await database.close()
