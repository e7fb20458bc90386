"""Chat templates, rendered as transformers renders them for vLLM: the same sandbox, filters and values.

The template is the operator's, out of the model's folder; what callers send reaches it as values only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

Render = Callable[..., str]
"""Takes a template's values by name; raises `jinja2.TemplateError` where the template refuses them."""


class _Generation(Extension):
    """`{% generation %}` marks what an assistant said, for training: here only what is inside matters."""

    tags = {"generation"}  # noqa: RUF012 - as the base class has it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """The statements inside."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def template_of(folder: Path) -> tuple[Render, bool] | None:
    """What renders the chats of the model in `folder`, and whether it knows developers; `None` without a template.

    Raises `OSError`, `ValueError` and `jinja2.TemplateError` for files that cannot be read.
    """
    settings = _settings(folder / "tokenizer_config.json")
    source = _source(folder, settings)
    if source is None:
        return None
    template = _environment().from_string(source)
    special = {name: _text(settings.get(name)) for name in _SPECIAL}
    known = {name: text for name, text in special.items() if text is not None}

    def render(**values: object) -> str:
        return template.render({**known, **values})

    return render, "developer" in source


def _settings(path: Path) -> Mapping[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return read if isinstance(read, dict) else {}


def _source(folder: Path, settings: Mapping[str, Any]) -> str | None:
    try:
        return (folder / "chat_template.jinja").read_text("utf-8")
    except FileNotFoundError:
        found = settings.get("chat_template")
    if isinstance(found, list):  # several with names
        found = {each.get("name"): each.get("template") for each in found}.get("default")
    return found if isinstance(found, str) else None


def _text(token: object) -> str | None:
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _now
    return environment


def _tojson(  # the arguments are those that templates use
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - the engine's own clock and zone, as it does
