"""The configuration file's models: what may be written, its types, bounds and defaults.

Every model is strict and frozen and refuses unknown keys: a misspelt key that starts green sends prompts to the
wrong place. Relations between fields that one field cannot know are checked at the root, in `Config`.
"""

from __future__ import annotations

import re
from datetime import date
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from gateway.store.place import postgres

BUNDLED_MODEL = "bundled"
"""The `model:` value that means the small model shipped inside the package."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}")
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>\d{1,5})")
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_HIGHEST_PORT = 65535
_MEDIA_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
"""A host by name. The last label begins with a letter: what ends in a number is an address (WHATWG URL, 3.5)."""
_LONGEST_PARTY = 256
_MOST = 10**15
_MOST_MONEY = 10**9
_DIRECTORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_-]{0,63})?")


def _contradiction(message: str, *, why: str, hint: str, below: tuple[str | int, ...] = ()) -> Exception:
    """What a validator raises about two values; `below` is the place of the one to point at."""
    context = {"message": message, "why": why, "hint": hint, "below": below}
    return PydanticCustomError("contradiction", "{message}", context)


def is_loopback(listen: str) -> bool:
    """Whether an address that passed as `Listen` can be reached from this machine alone."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            "a name has 1 to 64 letters, digits, '.', '_' or '-' and begins with a letter or digit"
        )
    return value


def _model_name(value: str) -> str:
    if not _MODEL_NAME.fullmatch(value):
        raise ValueError("a model name has 1 to 256 letters, digits or any of . _ : / @ + -")
    return value


def _listen(value: str) -> str:
    if value.startswith("unix:/"):
        return value
    match = _LISTEN.fullmatch(value)
    if match is None or int(match["port"]) > _HIGHEST_PORT:
        raise ValueError("expected HOST:PORT (port 0 to 65535) or unix:/absolute/path")
    return value


def _upstream_url(value: str) -> str:
    if value.startswith("unix:/"):
        return value
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(
            "expected http://HOST[:PORT] or unix:/absolute/path: the port is not a number"
        ) from None
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("expected http://HOST[:PORT] or unix:/absolute/path")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an upstream URL holds no credentials, query or fragment: use api_key")
    if parts.path not in {"", "/", "/v1", "/v1/"}:
        raise ValueError("an upstream URL has no path: the gateway adds /v1/... itself")
    return value


def _redis_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("expected redis://HOST[:PORT][/DB]: the port is not a number") from None
    if parts.scheme not in {"redis", "rediss", "unix"} or not (parts.hostname or parts.scheme == "unix"):
        raise ValueError("expected redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB] or unix:///path")
    if parts.password:
        raise ValueError("a Redis URL holds no password: use password or password_file")
    if parts.scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdigit():
        raise ValueError("expected redis://HOST[:PORT][/DB]: DB is a number")
    return value


def _host_port(value: str) -> str:
    match = _LISTEN.fullmatch(value)
    if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
        raise ValueError("expected HOST:PORT (port 1 to 65535)")
    return value


def _database_url(value: str) -> str:
    postgres(value)
    return value


def _host_name(value: str) -> str:
    if value != "*" and not _HOST_NAME.fullmatch(value):
        raise ValueError("expected a host name without a port, or '*'")
    return value


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError:
        raise ValueError("expected an address or a network such as 10.0.0.0/8, without host bits") from None
    return value


def _media_host(value: str) -> str:
    if not _MEDIA_HOST.fullmatch(value):
        raise ValueError(
            "expected the name of one host in lower case, as media.example.org: no URL, port or address"
        )
    return value


def _amount(value: object) -> int | Literal["unlimited"]:
    if value == "unlimited":
        return "unlimited"
    if type(value) is not int or not 1 <= value <= _MOST:
        raise ValueError(f"expected a whole number from 1 to {_MOST}, or unlimited")
    return value


def _money(value: object) -> float | Literal["unlimited"]:
    if value == "unlimited":
        return "unlimited"
    if type(value) not in {int, float} or not 0 < float(str(value)) <= _MOST_MONEY:
        raise ValueError(f"expected a number above 0 and up to {_MOST_MONEY}, or unlimited")
    return float(str(value))


def _party(value: str) -> str:
    if not value.isprintable() or not 0 < len(value) <= _LONGEST_PARTY:
        raise ValueError("expected the id of a key, or a name, of 1 to 256 printable characters")
    return value


def _directory_name(value: str) -> str:
    if not _DIRECTORY_NAME.fullmatch(value):
        raise ValueError(
            "a name has 1 to 128 letters, digits or any of . _ @ + - and begins with a letter or digit"
        )
    return value


def _model_pattern(value: str) -> str:
    if value != "*" and not _MODEL_NAME.fullmatch(value.removesuffix("*")):
        raise ValueError("expected the name of a model, or PREFIX*")
    return value


def _issuer_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("expected https://HOST[:PORT]/PATH: the port is not a number") from None
    is_local = parts.scheme == "http" and parts.hostname and is_loopback(f"{parts.hostname}:0")
    if not (parts.hostname and (parts.scheme == "https" or is_local)) or parts.username or parts.password:
        raise ValueError("expected https://HOST[:PORT]/PATH; http only on this machine")
    return value


def _field(value: str) -> str:
    if not _FIELD.fullmatch(value):
        raise ValueError("expected the name of a field, or chat_template_kwargs.NAME")
    return value


Name = Annotated[str, AfterValidator(_name)]
HostName = Annotated[str, AfterValidator(_host_name)]
Network = Annotated[str, AfterValidator(_network)]
ModelName = Annotated[str, AfterValidator(_model_name)]
Listen = Annotated[str, AfterValidator(_listen)]
UpstreamUrl = Annotated[str, AfterValidator(_upstream_url)]
HostPort = Annotated[str, AfterValidator(_host_port)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
MediaHost = Annotated[str, AfterValidator(_media_host)]
FieldName = Annotated[str, AfterValidator(_field)]
DirectoryName = Annotated[str, AfterValidator(_directory_name)]
ModelPattern = Annotated[str, AfterValidator(_model_pattern)]
Claim = Annotated[str, Field(min_length=1, max_length=256)]
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
TierName = Literal["flex", "default", "priority"]
RoleName = Literal["viewer", "operator", "admin"]
ReachName = Literal["team", "organisation", "everything"]
Cap = Annotated[int, Field(ge=0, le=1_000_000)]
AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Amount = Annotated[
    int | Literal["unlimited"],
    PlainValidator(_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MOST},
                {"const": "unlimited", "type": "string"},
            ]
        }
    ),
]
Money = Annotated[
    float | Literal["unlimited"],
    PlainValidator(_money),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": _MOST_MONEY},
                {"const": "unlimited", "type": "string"},
            ]
        }
    ),
]
Price = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]
Party = Annotated[str, AfterValidator(_party)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


_Declared = TypeVar("_Declared", "DeclaredOrganisation", "DeclaredTeam", "DeclaredUser", "DeclaredKey")


class Section(BaseModel):
    """A part of the file: strict types, no unknown keys, never changed after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Server(Section):
    """Where the gateway listens and how much one request may send."""

    listen: Listen = Field("127.0.0.1:8000", description="Address of the API: HOST:PORT or unix:/path.")
    admin_listen: Listen = Field(
        "127.0.0.1:8001", description="Address of metrics and administration; keep it on loopback."
    )
    insecure_listen: bool = Field(
        default=False, description="Allow a listen address other than loopback without TLS in front."
    )
    max_body_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = Field(
        8 * 1024 * 1024, description="Largest request body, in bytes; a larger one is answered 413."
    )
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Client connections open at once; one more ends the oldest that sent no request."
    )
    max_connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        1024, description="The same for one client address. Trusted proxies and unix sockets are not counted."
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        (),
        strict=False,
        description="Host names to answer to, besides addresses and localhost; '*' for all. "
        "Default: none on a loopback address, all on any other and on a unix socket.",
    )
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        strict=False,
        description="Addresses or networks (CIDR) whose X-Forwarded-For is believed. Default: none.",
    )
    drain_delay_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        0.0,
        description="How long to serve on after SIGTERM while /readyz already answers 503: a load balancer's time "
        "to look elsewhere.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        120.0, description="How long running requests may finish after SIGTERM before they are cut."
    )

    @model_validator(mode="after")
    def _others_are_kept_out(self) -> Server:
        for name in ("listen", "admin_listen"):
            address = getattr(self, name)
            if not self.insecure_listen and not is_loopback(address):
                raise _contradiction(
                    f"'server.{name}' is {address}, which other machines can reach",
                    why="keys and prompts would cross the network unencrypted: the gateway speaks no TLS itself",
                    hint="listen on 127.0.0.1 behind a TLS proxy, or add 'insecure_listen: true' in a closed network",
                    below=(name,),
                )
        return self

    @model_validator(mode="after")
    def _two_addresses(self) -> Server:
        if self.listen == self.admin_listen and not self.listen.endswith(":0"):
            raise _contradiction(
                f"'server.listen' and 'server.admin_listen' are both {self.listen}",
                why="the API and the administration are two servers",
                hint="give admin_listen another port",
                below=("admin_listen",),
            )
        return self


class Issuer(Section):
    """An identity provider whose signed tokens (JWT) are taken as credentials, for one audience."""

    name: Name = Field(description="Its callers are NAME:USER where the id of a key would stand.")
    issuer: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="The claim `iss`, byte for byte.", examples=["https://login.example.org/realms/lab"]
    )
    audience: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="What the claim `aud` has to be or hold.", examples=["cascadia"]
    )
    jwks_url: IssuerUrl | None = Field(
        None, description="Where its public keys are: https, or http on this machine."
    )
    jwks_file: Path | None = Field(None, strict=False, description="File with its public keys, instead.")
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "Ed25519"], ...
    ] = Field(("RS256",), strict=False, description="Signatures that are taken.")
    leeway: Annotated[float, Field(ge=0, le=300)] = Field(
        30.0, description="Seconds by which its clock and ours may differ."
    )
    use: Literal["inference", "admin"] = Field(
        "inference", description="What its tokens are for. A token is never for both."
    )
    user_claim: Claim = Field("sub", description="Who it is. Names of claims may lead inwards: a.b.")
    team_claim: Claim | None = Field(None, description="Its team, or a list of groups to find it in.")
    teams: dict[str, DirectoryName] = Field(
        default_factory=dict,
        description="Value of team_claim → team. Empty: the value is the name of the team.",
    )
    team: DirectoryName | None = Field(None, description="Team of those whose token names none of ours.")
    organisation_claim: Claim | None = Field(
        None, description="Has to name the team's organisation. Default: not looked at."
    )
    role_claim: Claim | None = Field(None, description="For `use: admin`: a role, or a list of groups.")
    roles: dict[str, RoleName] = Field(
        default_factory=dict, description="Value of role_claim → viewer, operator or admin."
    )
    reach: ReachName = Field("team", description="Over what the role holds: team, organisation, everything.")
    tier_claim: Claim | None = Field(None, description="Where its highest tier is found.")
    tiers: dict[str, TierName] = Field(
        default_factory=dict, description="Value of tier_claim → flex, default or priority."
    )
    highest_tier: TierName = Field("priority", description="Highest tier of those whose token names none.")

    @model_validator(mode="after")
    def _is_whole(self) -> Issuer:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise _contradiction(
                f"the issuer '{self.name}' needs one of 'jwks_url' and 'jwks_file'",
                why="its tokens are checked with its public keys",
                hint="name the address or a file, not both",
                below=("issuer",),
            )
        if self.team_claim is None and self.team is None:
            raise _contradiction(
                f"the issuer '{self.name}' has neither 'team_claim' nor 'team'",
                why="every caller belongs to a team",
                hint="add 'team: NAME' for one that all belong to",
                below=("issuer",),
            )
        if self.use == "admin" and (self.role_claim is None or not self.roles):
            raise _contradiction(
                f"the issuer '{self.name}' is for the administration and has no 'role_claim' with 'roles'",
                why="what its callers may do would be a guess",
                hint="add role_claim and roles",
                below=("use",),
            )
        return self


class Auth(Section):
    """Who may call."""

    mode: Literal["keys", "anonymous"] = Field(
        "keys", description="keys: API keys from keys_file. anonymous: everybody, for a closed network only."
    )
    keys_file: Path | None = Field(
        None, strict=False, description="Hashed API keys. Default: keys.json in data_dir."
    )
    jwt: tuple[Issuer, ...] = Field(
        (), strict=False, description="Identity providers whose tokens are taken besides keys."
    )

    @field_validator("jwt")
    @classmethod
    def _issuers_differ(cls, value: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        seen: set[tuple[str, ...]] = set()
        for index, each in enumerate(value):
            for field, key in (("name", (each.name,)), ("audience", (each.issuer, each.audience))):
                if key in seen:
                    raise _contradiction(
                        f"'{field}' of the issuer '{each.name}' is that of another one too",
                        why="a token has to belong to one of them",
                        hint="give this one another",
                        below=(index, field),
                    )
                seen.add(key)
        return value


class DeclaredOrganisation(Section):
    """Teams that belong together."""

    name: DirectoryName = Field(description="Its name.")
    suspended: bool = Field(default=False, description="Refuse the keys of all its teams.")


class DeclaredTeam(Section):
    """A tenant: what is fair is fair between teams."""

    name: DirectoryName = Field(description="Its name, the tenant in metrics and usage.")
    organisation: DirectoryName = Field("default", description="What it belongs to.")
    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        1.0, description="Its share of engines that are short, against 1 of the others."
    )
    highest_tier: TierName = Field("priority", description="flex, default or priority.")
    models: tuple[ModelPattern, ...] | None = Field(
        None, strict=False, min_length=1, description="Models it may use, or PREFIX*. Default: all."
    )
    suspended: bool = Field(default=False, description="Refuse all its keys.")


class DeclaredUser(Section):
    """A person or a service account of one team."""

    name: DirectoryName = Field(description="Its name.")
    team: DirectoryName = Field("default", description="Whom it belongs to.")
    kind: Literal["person", "service"] = Field("person", description="person or service.")
    role: RoleName | None = Field(
        None, description="What it may administer: viewer, operator or admin. Default: nothing."
    )
    reach: ReachName = Field("team", description="Over what: team, organisation or everything.")
    suspended: bool = Field(default=False, description="Refuse all its keys.")


class DeclaredKey(Section):
    """An API key: its id and digest as `cascadia keys show` tells them, or the key itself from elsewhere."""

    name: Annotated[str, Field(min_length=1, max_length=128)] = Field(description="To find it again.")
    id: Annotated[str, Field(pattern="^[0-9A-Za-z]{12}$")] | None = Field(
        None, description="Its public id. Goes with digest."
    )
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = Field(
        None, description="Its digest under the pepper of this data folder."
    )
    key: SecretStr | None = Field(None, description="The key itself, as ${VAR}.")
    key_file: Path | None = Field(None, strict=False, description="File with the key itself.")
    team: DirectoryName = Field("default", description="Whom it belongs to.")
    user: DirectoryName | None = Field(None, description="Whose it is within the team.")
    models: tuple[ModelPattern, ...] | None = Field(
        None, strict=False, min_length=1, description="Models it may use, or PREFIX*. Default: all."
    )
    operations: tuple[Name, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        description="chat, completions, models, usage; or admin, alone. Default: all but admin.",
    )
    networks: tuple[Network, ...] | None = Field(
        None,
        strict=False,
        min_length=1,
        description="Addresses or networks it may be used from. Default: all.",
    )
    highest_tier: TierName = Field("priority", description="flex, default or priority.")
    expires: date | None = Field(
        None, strict=False, description="First day, in UTC, on which it is refused: 2027-01-31."
    )

    @model_validator(mode="after")
    def _one_source(self) -> DeclaredKey:
        given = [name for name in ("digest", "key", "key_file") if getattr(self, name) is not None]
        if len(given) != 1 or (self.id is None) != (self.digest is None):
            raise _contradiction(
                f"the key '{self.name}' needs 'id' and 'digest', or 'key', or 'key_file'",
                why="which of several counts would be a guess",
                hint="give one of the three",
                below=("name",),
            )
        return self


class People(Section):
    """Organisations, teams, users and keys. Those written here no command and no admin API changes."""

    store: Literal["file", "database"] = Field(
        "file",
        description="Where what commands and the admin API make is kept: keys_file, for the gateways of one machine, "
        "or the database, for several.",
    )
    stale_after: Seconds = Field(
        3600.0,
        description="How long the database may be away before keys from it are not believed any more: then 503.",
    )
    organisations: tuple[DeclaredOrganisation, ...] = Field((), strict=False, description="Organisations.")
    teams: tuple[DeclaredTeam, ...] = Field((), strict=False, description="Teams.")
    users: tuple[DeclaredUser, ...] = Field((), strict=False, description="Users and service accounts.")
    keys: tuple[DeclaredKey, ...] = Field((), strict=False, description="API keys.")

    @field_validator("organisations", "teams", "users", "keys")
    @classmethod
    def _names_differ(cls, value: tuple[_Declared, ...]) -> tuple[_Declared, ...]:
        seen: set[str] = set()
        for index, each in enumerate(value):
            if each.name in seen:
                raise _contradiction(
                    f"the name '{each.name}' is used twice",
                    why="names find what is meant",
                    hint="give this one another name",
                    below=(index, "name"),
                )
            seen.add(each.name)
        return value


class Timeouts(Section):
    """Bounds on each wait of one request, in seconds."""

    header: Seconds = Field(
        10.0, description="From the first byte of a request, or the connection, to the end of its head."
    )
    body: Seconds = Field(
        30.0, description="From the head of a request to the end of its body; 1 KiB/s at least."
    )
    idle: Seconds = Field(75.0, description="A kept connection without a request.")
    connect: Seconds = Field(1.0, description="Connecting to an engine.")
    queue: Seconds = Field(30.0, description="Waiting for a free replica.")
    first_token: Seconds = Field(120.0, description="From dispatch to the first byte of content.")
    stall: Seconds = Field(30.0, description="Between two reads of an answer that has begun.")
    total: Seconds = Field(600.0, description="From arrival to the last byte.")


class Admission(Section):
    """How many calls run and wait."""

    ordering: Literal["fair", "fifo"] = Field(
        "fair",
        description="Who goes next. fair: by tier, then fair between tenants, then by deadline. fifo: as they came.",
    )
    lower_tiers: Annotated[float, Field(ge=0, le=0.5, allow_inf_nan=False)] = Field(
        0.05,
        description="Part of the slots that a lower tier has while higher ones wait; 0 lets it starve. For fair.",
    )
    newest_first: bool = Field(
        default=True,
        description="Serve each tenant's newest first while more than half of max_queue wait. For fair.",
    )
    prompt_token_cost: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = Field(
        1.0, description="What a prompt token that is not in an engine's cache counts in a tenant's share."
    )
    output_token_cost: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = Field(
        2.0, description="What a generated token counts in a tenant's share."
    )
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = Field(
        1024,
        description="Calls that may wait per model; one more is answered 503, or takes the place of another.",
    )
    max_queue_tokens: Annotated[int, Field(ge=1, le=10**12)] | None = Field(
        None, description="Tokens of the calls that wait per model, as estimated. Default: no bound."
    )
    max_queue_bytes: Annotated[int, Field(ge=1024, le=1 << 40)] | None = Field(
        None, description="Bytes of the bodies that wait per model. Default: no bound but the memory's."
    )
    when_empty: Literal["refuse", "wait"] = Field(
        "refuse", description="What a call does when no engine serves its model and one starts."
    )
    max_start_wait: Seconds = Field(
        30.0, description="Longest wait for an engine that starts, in seconds. For when_empty: wait."
    )
    limit: Literal["fixed", "adaptive"] = Field(
        "fixed",
        description="How many calls a replica holds. fixed: max_in_flight. adaptive: up to that, as long as hardly any "
        "wait inside the engine.",
    )
    engine_priority: bool = Field(
        default=False,
        description="Tell engines the tier as `priority`; they need --scheduling-policy priority.",
    )
    policy: Literal["scored", "least_requests", "least_tokens", "round_robin", "session", "prefix"] = Field(
        "scored", description="How a replica is chosen among those with room: docs/routing.md."
    )


class Requests(Section):
    """What a request body may hold."""

    privileged_fields: Literal["refuse", "strip"] = Field(
        "refuse",
        description="Fields that reach beyond the caller's own request, as priority and chat_template do: "
        "answer 400, or leave them out.",
    )
    unknown_fields: Literal["strip", "refuse", "pass"] = Field(
        "strip",
        description="Fields that neither OpenAI's API nor vLLM has: leave them out, answer 400, or send them.",
    )
    allowed_fields: tuple[FieldName, ...] = Field(
        (),
        strict=False,
        description="Fields that pass unseen, privileged and unknown ones too: NAME or chat_template_kwargs.NAME.",
    )
    allowed_media_hosts: tuple[MediaHost, ...] = Field(
        (),
        strict=False,
        description="Hosts from which engines may fetch images, sound and video over https. None: data: URLs only.",
    )
    allow_grammars: bool = Field(
        default=False, description="Let callers send grammars and structural tags, which engines compile."
    )


class CapsOf(Section):
    """Caps of one model or one API key. The strictest of all that apply counts."""

    n: AtLeastOne | None = Field(None, description="As `caps.n`.")
    best_of: AtLeastOne | None = Field(None, description="As `caps.best_of`.")
    max_tokens: Tokens | None = Field(None, description="As `caps.max_tokens`.")
    top_logprobs: Cap | None = Field(None, description="As `caps.top_logprobs`.")
    stop: Cap | None = Field(None, description="As `caps.stop`.")
    stop_characters: AtLeastOne | None = Field(None, description="As `caps.stop_characters`.")
    logit_bias: Cap | None = Field(None, description="As `caps.logit_bias`.")
    token_ids: Cap | None = Field(None, description="As `caps.token_ids`.")
    bad_words: Cap | None = Field(None, description="As `caps.bad_words`.")
    prompts: AtLeastOne | None = Field(None, description="As `caps.prompts`.")
    messages: AtLeastOne | None = Field(None, description="As `caps.messages`.")
    tools: Cap | None = Field(None, description="As `caps.tools`.")


class Caps(CapsOf):
    """The most that one request may ask for; more is answered 400. `null` is no cap."""

    n: AtLeastOne | None = Field(8, description="Answers.")
    best_of: AtLeastOne | None = Field(8, description="Answers to choose from.")
    max_tokens: Tokens | None = Field(
        None,
        description="Tokens of all answers together: n x max_tokens. A request that names none gets this.",
    )
    top_logprobs: Cap | None = Field(
        20, description="Alternatives to each token; logprobs and prompt_logprobs too."
    )
    stop: Cap | None = Field(4, description="Stop strings.")
    stop_characters: AtLeastOne | None = Field(256, description="Characters of one stop string.")
    logit_bias: Cap | None = Field(300, description="Entries of logit_bias.")
    token_ids: Cap | None = Field(
        1024, description="Ids in stop_token_ids, allowed_token_ids and logprob_token_ids, each."
    )
    bad_words: Cap | None = Field(128, description="Words in bad_words.")
    prompts: AtLeastOne | None = Field(1024, description="Prompts of one completion.")
    messages: AtLeastOne | None = Field(4096, description="Messages of one chat.")
    tools: Cap | None = Field(512, description="Tools of one chat.")
    models: dict[ModelName, CapsOf] = Field(
        default_factory=dict, description="Caps for models: public name, then any of the keys above."
    )
    keys: dict[Name, CapsOf] = Field(
        default_factory=dict, description="Caps for API keys: id of the key, then any of the keys above."
    )


class LimitsOf(Section):
    """How much one party may use. What is left out is as `limits.default` has it; `unlimited` lifts that."""

    requests_per_minute: Amount | None = Field(None, description="Requests in any 60 seconds.")
    input_tokens_per_minute: Amount | None = Field(None, description="Tokens of prompts in any 60 seconds.")
    output_tokens_per_minute: Amount | None = Field(None, description="Tokens of answers in any 60 seconds.")
    tokens_per_minute: Amount | None = Field(None, description="Both together in any 60 seconds.")
    concurrent_requests: Amount | None = Field(None, description="Requests that run or wait at once.")
    tokens_per_day: Amount | None = Field(None, description="Tokens of prompts and answers in a day (UTC).")
    tokens_per_month: Amount | None = Field(None, description="The same in a calendar month (UTC).")
    cost_per_day: Money | None = Field(None, description="By `prices`, in their currency, in a day (UTC).")
    cost_per_month: Money | None = Field(None, description="The same in a calendar month (UTC).")
    shadow: bool | None = Field(
        None,
        description="Count and report who would be refused, and refuse nobody. Default: as `limits.shadow`.",
    )


class PartyLimits(LimitsOf):
    """How much each of these may use, unless it has limits of its own."""

    models: dict[ModelName, LimitsOf] = Field(
        default_factory=dict,
        description="Limits on single models, besides: public name, then any of the keys above.",
    )


class ModelLimits(LimitsOf):
    """How much all callers together may use of one model."""

    context: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        None,
        description="Tokens that a prompt and its answer may have together; what a request that names no max_tokens "
        "is taken to need. Default: 131072.",
    )


class DefaultLimits(Section):
    """For everyone without limits of their own."""

    key: PartyLimits = Field(default_factory=PartyLimits)
    user: PartyLimits = Field(default_factory=PartyLimits)
    team: PartyLimits = Field(default_factory=PartyLimits)
    organisation: PartyLimits = Field(default_factory=PartyLimits)
    model: ModelLimits = Field(default_factory=ModelLimits)


class Limits(Section):
    """How much may be used over time. A request has to fit all limits that it is under; none by default."""

    store: Literal["auto", "memory", "valkey"] = Field(
        "auto",
        description="Where is counted. memory: in each gateway for itself. valkey: in the server of `redis`, for all "
        "gateways together; without `redis`, in a Valkey that `cascadia up` runs itself. auto: valkey where there is "
        "`redis`, else memory.",
    )
    without_store: Literal["share", "refuse"] = Field(
        "share",
        description="While that server does not answer. share: each gateway keeps to its share of every limit. "
        "refuse: requests under limits are answered 503.",
    )
    shadow: bool = Field(
        default=False, description="Count and report who would be refused by any limit, and refuse nobody."
    )
    default: DefaultLimits = Field(default_factory=DefaultLimits)
    keys: dict[Party, PartyLimits] = Field(
        default_factory=dict,
        description="Limits of API keys: id of the key, then any of the keys of default.key.",
    )
    users: dict[Party, PartyLimits] = Field(
        default_factory=dict, description="Limits of users, over all their keys: name, then the same keys."
    )
    teams: dict[Party, PartyLimits] = Field(
        default_factory=dict,
        description="Limits of teams, which are the tenants of keys: name, then the same keys.",
    )
    organisations: dict[Party, PartyLimits] = Field(
        default_factory=dict, description="Limits of organisations: name, then the same keys."
    )
    models: dict[ModelName, ModelLimits] = Field(
        default_factory=dict,
        description="Limits of models, over all callers: public name, then any of the keys of default.model.",
    )


class PricesOf(Section):
    """What one model costs, in a currency of your choice for a million tokens, to a thousandth."""

    input: Price = Field(0.0, description="Of prompts.")
    cached_input: Price | None = Field(
        None, description="Of what of a prompt the engine had in its cache. Default: as input."
    )
    output: Price = Field(0.0, description="Of answers.")


class EngineGroup(Section):
    """Identical engine workers that this machine starts and supervises for one model."""

    name: Name = Field(description="Name of the group; its workers are NAME-0, NAME-1, …")
    model: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        BUNDLED_MODEL, description="Folder or Hugging Face id of the weights; 'bundled' is the shipped model."
    )
    serve_as: tuple[ModelName, ...] = Field(
        (), strict=False, description="Public model names. Default: the group's name."
    )
    engine: Literal["vllm", "simulated"] = Field("vllm", description="Engine software.")
    replicas: Annotated[int, Field(ge=1, le=1024)] = Field(1, description="Number of workers.")
    gpus_per_replica: Annotated[int, Field(ge=0, le=64)] | None = Field(
        None, description="GPUs of one worker. Default: 1 where there is an NVIDIA GPU, else 0 (CPU)."
    )
    python: Path | None = Field(
        None,
        strict=False,
        description="Python of the engine's environment. Default: the one made by `cascadia engines install`.",
    )
    args: tuple[str, ...] = Field((), strict=False, description="More command-line arguments for the engine.")
    env: dict[str, str] = Field(
        default_factory=dict, description="More environment variables for the engine."
    )
    transport: Literal["unix", "tcp"] = Field(
        "unix", description="unix socket in a private folder, or 127.0.0.1."
    )
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(
        128, description="Calls one worker runs at once; the rest wait in the gateway's queue."
    )
    start_timeout: Seconds = Field(
        600.0, description="Seconds from start to ready before a worker is given up."
    )


class Upstream(Section):
    """A server that already runs and speaks the OpenAI API."""

    name: Name | None = Field(
        None, description="Name in metrics and logs. Default: upstream-N, its place in the list from 0."
    )
    url: UpstreamUrl = Field(
        description="http://HOST:PORT or unix:/path.", examples=["http://127.0.0.1:9000"]
    )
    api_key: SecretStr | None = Field(
        None, description="Key sent to this server. Use ${VAR} or api_key_file."
    )
    api_key_file: Path | None = Field(
        None, strict=False, description="File with the key sent to this server."
    )
    models: dict[ModelName, ModelName] = Field(
        default_factory=dict,
        description="Public name → the server's own model name. Empty: what its /v1/models lists.",
    )
    engine: Literal["vllm", "openai"] = Field("vllm", description="What runs there.")
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = Field(128, description="Calls it runs at once.")

    @model_validator(mode="after")
    def _one_key(self) -> Upstream:
        if self.api_key is not None and self.api_key_file is not None:
            raise _contradiction(
                "'api_key' and 'api_key_file' are both given",
                why="which of the two counts would be a guess",
                hint="remove one of them",
                below=("api_key_file",),
            )
        return self


class Redis(Section):
    """A Redis or Valkey server for state that several gateways share."""

    url: RedisUrl = Field(
        description="redis://[USER@]HOST[:PORT][/DB], rediss:// for TLS, or unix:///path.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    password: SecretStr | None = Field(None, description="Password. Use ${VAR} or password_file.")
    password_file: Path | None = Field(None, strict=False, description="File with the password.")
    kind: Literal["server", "sentinel", "cluster"] = Field(
        "server",
        description="What the URL leads to. sentinel: a Sentinel, which is asked for `master`. cluster: any node.",
    )
    master: Name | None = Field(None, description="What the Sentinels call the server.")
    others: tuple[HostPort, ...] = Field(
        (), strict=False, description="HOST:PORT of more Sentinels or nodes, asked when the first is gone."
    )
    ca_file: Path | None = Field(
        None,
        strict=False,
        description="Certificates that a rediss:// server is checked by. Default: the system's.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Redis:
        scheme = urlsplit(self.url).scheme
        if (self.kind == "sentinel") != (self.master is not None):
            raise _contradiction(
                "'kind: sentinel' and 'master' go together",
                why="Sentinels know servers by name, and nobody else does",
                hint="give both, or neither",
                below=("master",) if self.kind != "sentinel" else ("kind",),
            )
        if self.others and self.kind == "server":
            raise _contradiction(
                "'others' is given for a single server",
                why="it has no alternatives",
                hint="set kind: sentinel or kind: cluster, or remove others",
                below=("others",),
            )
        if self.kind != "server" and scheme == "unix":
            raise _contradiction(
                f"'kind: {self.kind}' is given for a unix socket",
                why="Sentinels and Clusters tell hosts and ports",
                hint="use a redis:// or rediss:// URL",
                below=("kind",),
            )
        if self.kind == "cluster" and urlsplit(self.url).path.strip("/") not in {"", "0"}:
            raise _contradiction(
                "a database is given for a Cluster",
                why="a Cluster has database 0 alone",
                hint="remove the number from the URL",
                below=("url",),
            )
        if self.ca_file is not None and scheme != "rediss":
            raise _contradiction(
                "'ca_file' is given without TLS",
                why="nothing would be checked",
                hint="use a rediss:// URL, or remove ca_file",
                below=("ca_file",),
            )
        return self

    @model_validator(mode="after")
    def _one_password(self) -> Redis:
        if self.password is not None and self.password_file is not None:
            raise _contradiction(
                "'password' and 'password_file' are both given",
                why="which of the two counts would be a guess",
                hint="remove one of them",
                below=("password_file",),
            )
        return self


class Database(Section):
    """Where usage and whatever else outlives the process is kept."""

    url: DatabaseUrl | None = Field(
        None,
        description="postgresql://[USER@]HOST[:PORT]/NAME[?sslmode=MODE]. Default: SQLite in data_dir.",
        examples=["postgresql://cascadia@127.0.0.1:5432/cascadia"],
    )
    password: SecretStr | None = Field(None, description="Password. Use ${VAR} or password_file.")
    password_file: Path | None = Field(None, strict=False, description="File with the password.")

    @model_validator(mode="after")
    def _one_password(self) -> Database:
        if self.password is not None and self.password_file is not None:
            raise _contradiction(
                "'password' and 'password_file' are both given",
                why="which of the two counts would be a guess",
                hint="remove one of them",
                below=("password_file",),
            )
        return self

    @model_validator(mode="after")
    def _a_password_is_for_a_server(self) -> Database:
        name = "password" if self.password is not None else "password_file"
        if self.url is None and getattr(self, name) is not None:
            raise _contradiction(
                f"'{name}' is given without 'url'",
                why="without a url the database is a SQLite file, which has no password",
                hint="add the url of the Postgres server, or remove the password",
                below=(name,),
            )
        return self


class Ledger(Section):
    """The record of every call that reached an engine."""

    enabled: bool = Field(default=True, description="Whether usage is recorded.")
    when_full: Literal["refuse", "serve"] = Field(
        "refuse",
        description="When records can be written nowhere: answer new requests 503, or serve them unrecorded.",
    )
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        90, description="How long single records are kept. Sums of months are kept for ever."
    )
    daily_retention_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        800, description="How long sums of days are kept."
    )
    max_spool_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 40)] = Field(
        1 << 30, description="The most that may wait on disk for the database."
    )
    reserve_bytes: Annotated[int, Field(ge=0, le=1 << 36)] = Field(
        16 * 1024 * 1024, description="Room on disk kept for calls that run already when it is full. 0: none."
    )


def upstream_id(index: int, upstream: Upstream) -> str:
    """The name of the server at `index` of the list, its own or the default one."""
    return upstream.name or f"upstream-{index}"


class Isolation(Section):
    """What callers can learn of each other through the engines."""

    share_prefixes: Literal["team", "organisation", "all"] = Field(
        "team",
        description="Among whom engines reuse what they computed for the beginning of a prompt. "
        "all: faster where many send the same, and callers can learn by timing what others have sent.",
    )


class Explain(Section):
    """What is kept in memory of the last requests, for `cascadia explain`. No prompts and no answers."""

    records: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        20_000, description="Requests remembered at most; 0 remembers none."
    )
    max_bytes: Annotated[int, Field(ge=0, le=1 << 34)] = Field(
        32 * 1024 * 1024, description="Memory they may take, in bytes; the oldest go first."
    )


class Logging(Section):
    """What is written, and how."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, JSON lines elsewhere."
    )


_Named = EngineGroup | Upstream


class Config(Section):
    """The whole file."""

    version: Literal[1] = Field(1, description="Version of this format.")
    data_dir: Path | None = Field(
        None, strict=False, description="Keys, sockets and state. Default: $XDG_DATA_HOME/cascadia."
    )
    engine_environment: Path | None = Field(
        None,
        strict=False,
        description="Python environment of the engines. Default: engine-venv in data_dir.",
    )
    server: Server = Field(default_factory=Server)
    auth: Auth = Field(default_factory=Auth)
    identity: People = Field(default_factory=People)
    timeouts: Timeouts = Field(default_factory=Timeouts)
    admission: Admission = Field(default_factory=Admission)
    requests: Requests = Field(default_factory=Requests)
    caps: Caps = Field(default_factory=Caps)
    limits: Limits = Field(default_factory=Limits)
    prices: dict[ModelName, PricesOf] = Field(
        default_factory=dict,
        description="What models cost, for limits on cost: public name, then input, cached_input and output for a "
        "million tokens. A model without prices costs nothing.",
    )
    engines: tuple[EngineGroup, ...] = Field(
        (), strict=False, description="Workers to start on this machine."
    )
    upstreams: tuple[Upstream, ...] = Field((), strict=False, description="Servers that already run.")
    redis: Redis | None = Field(None, description="Shared state. Not needed for one gateway.")
    database: Database = Field(default_factory=Database)
    isolation: Isolation = Field(default_factory=Isolation)
    explain: Explain = Field(default_factory=Explain)
    ledger: Ledger = Field(default_factory=Ledger)
    logging: Logging = Field(default_factory=Logging)

    @model_validator(mode="after")
    def _salts_have_one_owner(self) -> Config:
        if "cache_salt" in self.requests.allowed_fields and self.isolation.share_prefixes != "all":
            raise _contradiction(
                "'requests.allowed_fields' lets callers send cache_salt, which 'isolation.share_prefixes' sets itself",
                why="who chooses a salt chooses whose cached prompts to read",
                hint="leave cache_salt out, or set 'isolation.share_prefixes: all'",
                below=("requests", "allowed_fields"),
            )
        return self

    @model_validator(mode="after")
    def _no_upstream_is_named_like_a_worker(self) -> Config:
        workers = {f"{group.name}-{index}" for group in self.engines for index in range(group.replicas)}
        for index, upstream in enumerate(self.upstreams):
            if upstream_id(index, upstream) in workers:
                raise _contradiction(
                    f"the name '{upstream_id(index, upstream)}' is that of a worker in 'engines' too",
                    why="names tell workers and servers apart in metrics, logs and commands",
                    hint="give this server another name",
                    below=("upstreams", index, "name"),
                )
        return self

    @field_validator("engines", "upstreams")
    @classmethod
    def _names_are_unique(cls, value: tuple[_Named, ...]) -> tuple[_Named, ...]:
        first: dict[str, int] = {}
        for index, item in enumerate(value):
            if item.name is None:
                continue
            if item.name in first:
                raise _contradiction(
                    f"the name '{item.name}' is used twice",
                    why="names tell workers and servers apart in metrics, logs and commands",
                    hint="give this one another name",
                    below=(index, "name"),
                )
            first[item.name] = index
        return value
