"""`auth`: who may call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from config.schema.addresses import IssuerUrl
from config.schema.names import Claim, DirectoryName, Name, ReachName, RoleName, TierName
from config.schema.section import Section, contradiction


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
    keys_outlast_tokens: bool = Field(
        default=False,
        description="For `use: admin`: keys made with a token may outlast it. Default: they end with it.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Issuer:
        if (self.jwks_url is None) == (self.jwks_file is None):
            raise contradiction(
                f"the issuer '{self.name}' needs one of 'jwks_url' and 'jwks_file'",
                why="its tokens are checked with its public keys",
                hint="name the address or a file, not both",
                below=("issuer",),
            )
        if self.team_claim is None and self.team is None:
            raise contradiction(
                f"the issuer '{self.name}' has neither 'team_claim' nor 'team'",
                why="every caller belongs to a team",
                hint="add 'team: NAME' for one that all belong to",
                below=("issuer",),
            )
        if self.use == "admin" and (self.role_claim is None or not self.roles):
            raise contradiction(
                f"the issuer '{self.name}' is for the administration and has no 'role_claim' with 'roles'",
                why="what its callers may do would be a guess",
                hint="add role_claim and roles",
                below=("use",),
            )
        if self.keys_outlast_tokens and self.use != "admin":
            raise contradiction(
                f"the issuer '{self.name}' has 'keys_outlast_tokens' and is not for the administration",
                why="its tokens make no keys",
                hint="leave it out, or add 'use: admin'",
                below=("keys_outlast_tokens",),
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
                    raise contradiction(
                        f"'{field}' of the issuer '{each.name}' is that of another one too",
                        why="a token has to belong to one of them",
                        hint="give this one another",
                        below=(index, field),
                    )
                seen.add(key)
        return value
