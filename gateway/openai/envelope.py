"""Request bodies: read once, judged, and encoded anew for the engine.

An engine never gets a byte that a client sent, only what was read here, written once more. The usual request - text
messages and a few numbers, written compactly - costs one decoding, one encoding and one look at its types; anything
else in it costs a walk through what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import convert

from gateway.core.call import Envelope, Operation
from gateway.openai.caps import USUAL_COMPLETION_TOKENS, check_caps, tokens_to_add
from gateway.openai.complaints import of_types
from gateway.openai.contents import check_messages, check_prompt, prompts_in
from gateway.openai.document import Members, check_names, decode, encode
from gateway.openai.fields import (
    FEW,
    PLAIN,
    SHAPES,
    ChatFields,
    CompletionFields,
    PlainChat,
    PlainCompletion,
)
from gateway.openai.formats import check_formats, check_tools
from gateway.openai.operations import CHAT, OPERATIONS
from gateway.openai.privileges import Gate, without
from gateway.openai.rules import Rules
from gateway.openai.structure import LARGE_BYTES, check_shape

_USAGE = {"include_usage": True}
_ADDED_BYTES = len(b',"stream_options":{"include_usage":true}')
_MODEL = b'"model":'
_NAMEABLE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST_NAMED = 16
"""Fields that were left out and are named in a header."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the bodies of one operation are read."""

    plain: type[PlainChat | PlainCompletion]
    shape: type[ChatFields | CompletionFields]
    names: frozenset[str]
    gate: Gate
    is_chat: bool


class Reader:
    """Reads bodies under the operator's rules. Has no state of a request, so several threads may use it."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        caps = (rules.caps, *rules.model_caps.values(), *rules.key_caps.values())
        self._trusts_plain = all(each.cover(FEW) for each in caps)
        self._plans: Mapping[str, _Plan] = {
            operation.name: _Plan(
                PLAIN[operation.name],
                SHAPES[operation.name],
                names := frozenset(SHAPES[operation.name].__struct_fields__),
                Gate(operation.name, names, rules),
                is_chat=operation is CHAT,
            )
            for operation in OPERATIONS.values()
        }

    def read(self, operation: Operation, body: bytes, key_id: str) -> Envelope:
        """Judge `body`, sent with the key `key_id`, and return what the gateway needs of it.

        Raises `InvalidJson` when it is not one JSON object that all readers read alike, `FieldNotAllowed` for a field
        that the caller may not send, `InvalidRequest` for any other; `param` names the field.
        """
        plan = self._plans[operation.name]
        members = decode(body)
        try:
            plain = convert(members, plan.plain)
        except msgspec.ValidationError:
            return self._examined(plan, members, body, key_id)
        stream, options = plain.stream is True, plain.stream_options
        adds_usage = stream and (options is None or options.include_usage is not True)
        if not self._trusts_plain or len(body) > LARGE_BYTES or (adds_usage and "stream_options" in members):
            return self._examined(plan, members, body, key_id)
        if adds_usage:
            members["stream_options"] = _USAGE
        encoded = encode(members)
        if adds_usage:
            if not encoded.startswith(body[:-1]):
                check_names(body, encoded[: -_ADDED_BYTES - 1] + b"}")
        elif encoded != body:
            check_names(body, encoded)
        return _envelope(plain, encoded, strip_usage=adds_usage)

    def reread(self, operation: Operation, envelope: Envelope, model: str, key_id: str) -> Envelope:
        """`envelope` as a call for `model`: the same, unless that has caps of its own.

        Raises `InvalidRequest` when it asks for more than these allow.
        """
        if model not in self._rules.model_caps:
            return envelope
        read = self.read(operation, upstream_body(envelope, model), key_id)
        return read._replace(
            strip_usage=envelope.strip_usage, stripped=envelope.stripped, session=envelope.session
        )

    def _examined(self, plan: _Plan, members: Members, body: bytes, key_id: str) -> Envelope:
        """Judge all that is there."""
        check_shape(members)
        encoded = encode(members)
        check_names(body, encoded)
        unwanted = plan.gate.unwanted(members)
        kept = without(members, unwanted) if unwanted else members
        try:
            known = convert(kept, plan.shape)
        except msgspec.ValidationError as error:
            raise of_types(str(error)) from None
        tokens = self._judge(plan, kept, key_id)
        if tokens is not None:
            kept = {**kept, "max_tokens": tokens}
        stream, options = known.stream is True, known.stream_options
        adds_usage = stream and (options is None or options.include_usage is not True)
        if adds_usage:
            kept = {**kept, "stream_options": {**(kept.get("stream_options") or {}), **_USAGE}}
        if not encoded.startswith(_MODEL, 1):
            kept = {"model": known.model, **kept}
        if kept is not members:
            encoded = encode(kept)
        return _envelope(
            known, encoded, strip_usage=adds_usage, added_tokens=tokens, stripped=_named(unwanted)
        )

    def _judge(self, plan: _Plan, members: Members, key_id: str) -> int | None:
        """Judge what types do not. The `max_tokens` to add, if any."""
        rules = self._rules
        if not members.keys() <= plan.names:  # what the operator lets pass has any type
            members = {name: value for name, value in members.items() if name in plan.names}
        caps = rules.caps_for(members["model"], key_id)
        check_caps(members, caps)
        if plan.is_chat:
            check_messages(members["messages"], rules.media_hosts)
            for name in ("tools", "functions"):
                check_tools(members.get(name) or (), name)
        else:
            check_prompt(members["prompt"], caps.prompts)
        check_formats(members, allows_grammars=rules.allows_grammars)
        return tokens_to_add(members, caps, is_chat=plan.is_chat)


def _envelope(
    fields: PlainChat | PlainCompletion | ChatFields | CompletionFields,
    body: bytes,
    *,
    strip_usage: bool,
    added_tokens: int | None = None,
    stripped: bytes = b"",
) -> Envelope:
    """What is kept of a body whose fields are right."""
    answers = fields.n or 1
    if isinstance(fields, PlainChat | ChatFields):
        tokens = fields.max_tokens if fields.max_completion_tokens is None else fields.max_completion_tokens
        is_text = fields.__class__ is PlainChat
    else:
        is_text = fields.__class__ is PlainCompletion
        tokens = USUAL_COMPLETION_TOKENS if fields.max_tokens is None else fields.max_tokens
        if isinstance(fields, CompletionFields):
            answers = max(answers, fields.best_of or 1) * prompts_in(fields.prompt)
    return Envelope(
        fields.model,
        fields.stream is True,
        strip_usage,
        body,
        stripped,
        answers,
        tokens if added_tokens is None else added_tokens,
        fields.prompt_cache_key or fields.user,
        fields.service_tier,
        is_text,
    )


def upstream_body(envelope: Envelope, model: str) -> bytes:
    """The body to send to an engine that knows the model as `model`.

    The model is the first member, or else the only place with these bytes: the body is then a plain one, where nothing
    but the members we know can stand, and inside a string every quote is escaped.
    """
    body = envelope.body
    if model == envelope.model:
        return body
    old = _MODEL + encode(envelope.model)
    at = 1 if body.startswith(old, 1) else body.rfind(old)
    view = memoryview(body)
    return b"".join((view[:at], _MODEL, encode(model), view[at + len(old) :]))


def _named(unwanted: Iterable[str]) -> bytes:
    """The fields that were left out as a header's value: those whose names can stand in one."""
    nameable = [name for name in unwanted if _NAMEABLE.fullmatch(name)]
    return ", ".join(sorted(nameable)[:_MOST_NAMED]).encode()
