"""`database` and `ledger`: where usage is kept, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from config.schema.addresses import DatabaseUrl
from config.schema.section import Section, both_given, contradiction


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
            raise both_given("password", "password_file")
        return self

    @model_validator(mode="after")
    def _a_password_is_for_a_server(self) -> Database:
        name = "password" if self.password is not None else "password_file"
        if self.url is None and getattr(self, name) is not None:
            raise contradiction(
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
