"""How much: seconds, tokens, money, and `unlimited`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

_MOST = 10**15
_MOST_MONEY = 10**9


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


Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]
Cap = Annotated[int, Field(ge=0, le=1_000_000)]
AtLeastOne = Annotated[int, Field(ge=1, le=1_000_000)]
Price = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]
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
