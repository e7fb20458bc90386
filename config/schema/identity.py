"""`identity`: the organisations, teams, users and keys that the file itself declares."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, field_validator, model_validator

from config.schema.addresses import Network
from config.schema.amounts import Seconds
from config.schema.names import DirectoryName, ModelPattern, Name, ReachName, RoleName, TierName
from config.schema.section import Section, contradiction


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
            raise contradiction(
                f"the key '{self.name}' needs 'id' and 'digest', or 'key', or 'key_file'",
                why="which of several counts would be a guess",
                hint="give one of the three",
                below=("name",),
            )
        return self


_Declared = TypeVar("_Declared", "DeclaredOrganisation", "DeclaredTeam", "DeclaredUser", "DeclaredKey")


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
                raise contradiction(
                    f"the name '{each.name}' is used twice",
                    why="names find what is meant",
                    hint="give this one another name",
                    below=(index, "name"),
                )
            seen.add(each.name)
        return value
