"""Callers whose tokens say what they may do."""

from __future__ import annotations

from gateway.core.call import Principal, Reach, Role
from gateway.core.errors import Unauthenticated


class Callers:
    """A token is TEAM/OPERATIONS/MODELS/PREFIX, of which all but the team may be missing; `admin` and `owner` administer."""

    def authenticate(self, credential: bytes | None, address: str | None = None) -> Principal:
        if credential is None:
            raise Unauthenticated("no")
        name = credential.decode()
        if name == "admin":
            return Principal("red", "k", role=Role.ADMIN, reach=Reach.EVERYTHING)
        if name == "owner":
            return Principal("red", "k", organisation="lab", role=Role.ADMIN, reach=Reach.ORGANISATION)
        team, *words = name.split("/")
        return Principal(
            team,
            "k",
            organisation="lab",
            operations=frozenset(words[0].split(",")) if words and words[0] else None,
            models=frozenset(words[1].split(",")) if len(words) > 1 else None,
            model_prefixes=tuple(words[2:]),
        )
