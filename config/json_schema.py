"""The configuration file's JSON Schema, for editors and for whoever checks a file without this program."""

from __future__ import annotations

import json
from typing import Any

from config.schema import Config

IDENTIFIER = "urn:cascadia-gateway:config:1"


def json_schema() -> dict[str, Any]:
    """The schema as JSON values."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": IDENTIFIER,
        **Config.model_json_schema(),
        "title": "Cascadia Gateway configuration",
    }


def schema_text() -> str:
    """The schema as text, the same for the same program."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
