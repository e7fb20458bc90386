"""How the things that the file names are written."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}")
_DIRECTORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}(?:\.[A-Za-z_][A-Za-z0-9_-]{0,63})?")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_READ_HEADERS = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "host",
        "transfer-encoding",
        "x-api-key",
        "x-cascadia-fallback",
        "x-request-deadline-ms",
        "x-request-id",
        "x-stainless-read-timeout",
    }
)
_LONGEST_PARTY = 256


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


def _party(value: str) -> str:
    if not value.isprintable() or not 0 < len(value) <= _LONGEST_PARTY:
        raise ValueError("expected the id of a key, or a name, of 1 to 256 printable characters")
    return value


def _field(value: str) -> str:
    if not _FIELD.fullmatch(value):
        raise ValueError("expected the name of a field, or chat_template_kwargs.NAME")
    return value


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value) or value.lower() in _READ_HEADERS:
        raise ValueError("expected the name of a header that means nothing else here, as X-Session-Id")
    return value.lower()


Name = Annotated[str, AfterValidator(_name)]
ModelName = Annotated[str, AfterValidator(_model_name)]
DirectoryName = Annotated[str, AfterValidator(_directory_name)]
ModelPattern = Annotated[str, AfterValidator(_model_pattern)]
Party = Annotated[str, AfterValidator(_party)]
FieldName = Annotated[str, AfterValidator(_field)]
HeaderName = Annotated[str, AfterValidator(_header)]
Claim = Annotated[str, Field(min_length=1, max_length=256)]
TierName = Literal["flex", "default", "priority"]
RoleName = Literal["viewer", "operator", "admin"]
ReachName = Literal["team", "organisation", "everything"]
