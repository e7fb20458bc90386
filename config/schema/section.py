"""What every part of the file is, and how a validator complains of two values."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A part of the file: strict types, no unknown keys, never changed after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def contradiction(message: str, *, why: str, hint: str, below: tuple[str | int, ...] = ()) -> Exception:
    """What a validator raises about two values; `below` is the place of the one to point at."""
    context = {"message": message, "why": why, "hint": hint, "below": below}
    return PydanticCustomError("contradiction", "{message}", context)


def both_given(name: str, other: str) -> Exception:
    """What a validator raises when a secret is given in two ways; the one to remove is `other`."""
    return contradiction(
        f"'{name}' and '{other}' are both given",
        why="which of the two counts would be a guess",
        hint="remove one of them",
        below=(other,),
    )
