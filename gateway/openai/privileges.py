"""Fields that a caller may not simply send: those that reach beyond the caller's own request, and unknown ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.errors import FieldNotAllowed
from gateway.openai.operations import CHAT
from gateway.openai.rules import Rules, Treatment

PRIVILEGED: Mapping[str, str] = {
    "priority": "overtakes other callers",
    "request_id": "is given by the gateway",
    "session_id": "names what belongs to another caller",
    "cache_salt": "reads what another caller's prompts left in the cache",
    "kv_transfer_params": "moves cached prompts between engines",
    "ec_transfer_params": "moves cached media between engines",
    "data_parallel_rank": "chooses the part of an engine",
    "vllm_xargs": "reaches extensions of the engine",
    "prompt_embeds": "is read as serialized tensors",
    "chat_template": "is run as a program by the engine",
    "trust_request_chat_template": "runs a program in the engine",
    "documents": "is given to the chat template as it is",
    "add_generation_prompt": "changes who seems to have written what",
    "mm_processor_kwargs": "sets how much memory one image takes",
    "media_io_kwargs": "sets how much memory one video takes",
    "guided_decoding_backend": "chooses a compiler of grammars",
    "guided_whitespace_pattern": "is compiled into a grammar",
    "structural_tag": "is compiled into a grammar",
    "use_beam_search": "multiplies the work of every token",
    "repetition_detection": "sets how much work every token takes",
    "watermarking": "is the operator's choice",
    "custom_logit_processor": "is run as a program by the engine",
    "logits_processors": "is run as a program by the engine",
    "lora_path": "reads a path of the engine's machine",
    "lora_request": "reads a path of the engine's machine",
    "session_params": "names what belongs to another caller",
    "rid": "is given by the gateway",
    "bootstrap_host": "makes the engine connect to an address",
    "bootstrap_port": "makes the engine connect to an address",
    "bootstrap_room": "names what belongs to another caller",
}
"""Name → why. The last ones are SGLang's."""
_PRIVILEGED_IN_CHAT: Mapping[str, str] = {"echo": "changes who seems to have written what"}

TEMPLATE_SWITCHES = frozenset(
    {"enable_thinking", "thinking", "thinking_budget", "thinking_mode", "reasoning_effort"}
)
"""Keys of `chat_template_kwargs` that pass. Any other is a variable of the template: `chat_template` for one."""
_TEMPLATE = "chat_template_kwargs"
_LONGEST_SWITCH = 64


def privileged(operation: str) -> Mapping[str, str]:
    """The privileged fields of an operation, with the reason."""
    return {**PRIVILEGED, **_PRIVILEGED_IN_CHAT} if operation == CHAT.name else PRIVILEGED


class Gate:
    """What one operation's rules make of the names in a body."""

    def __init__(self, operation: str, passing: frozenset[str], rules: Rules) -> None:
        self._privileged = privileged(operation)
        self._passing = passing | rules.allowed
        self._rules = rules

    def unwanted(self, members: Mapping[str, Any]) -> list[str]:
        """The fields to leave out; `chat_template_kwargs.NAME` for one of its keys.

        Raises `FieldNotAllowed` for one that is refused.
        """
        return [*self._at_the_top(members), *self._in_the_template(members)]

    def _at_the_top(self, members: Mapping[str, Any]) -> Iterator[str]:
        for name in members.keys() - self._passing:
            why = self._privileged.get(name)
            if why is not None:
                yield from self._treat(
                    name, self._rules.privileged, f"only an operator can allow it: it {why}"
                )
            else:
                yield from self._treat(name, self._rules.unknown, "it is not a field of this API")

    def _in_the_template(self, members: Mapping[str, Any]) -> Iterator[str]:
        switches = members.get(_TEMPLATE)
        if switches.__class__ is not dict or _TEMPLATE in self._rules.allowed:
            return
        for name, value in switches.items():
            path = f"{_TEMPLATE}.{name}"
            if path in self._rules.allowed or (name in TEMPLATE_SWITCHES and _is_switch(value)):
                continue
            why = "only an operator can allow it: it is given to the chat template as it is"
            yield from self._treat(path, self._rules.privileged, why)

    @staticmethod
    def _treat(name: str, treatment: Treatment, why: str) -> Iterator[str]:
        if treatment is Treatment.REFUSE:
            raise FieldNotAllowed(f"The field {name!r} is not allowed here: {why}. Leave it out.", param=name)
        if treatment is Treatment.STRIP:
            yield name


def _is_switch(value: Any) -> bool:
    if value.__class__ is str:
        return len(value) <= _LONGEST_SWITCH
    return value is None or value.__class__ in {bool, int}


def without(members: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """`members` less `names`."""
    left = {name: value for name, value in members.items() if name not in names}
    switches = left.get(_TEMPLATE)
    if switches.__class__ is dict:
        left[_TEMPLATE] = {
            name: value for name, value in switches.items() if f"{_TEMPLATE}.{name}" not in names
        }
    return left
