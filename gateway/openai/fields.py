"""The fields of a request body that pass: their types, and the ranges that engines share.

A field that stands here goes to the engine once its value is right. What a value may not be beyond its type - caps,
schemas, media - is judged elsewhere. The names follow OpenAI's reference, then vLLM 0.32 and its older spellings.

Two shapes for each operation. `PLAIN` is what most requests are, and whatever fits it is right: nothing in it needs
another look. `SHAPES` has all fields, of which some do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gateway.openai.operations import CHAT, COMPLETIONS
from gateway.openai.rules import Caps
from gateway.openai.structure import MAX_INTEGER

Count = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Whole = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
WholeOrNone = Annotated[int, Meta(ge=-1, le=MAX_INTEGER)]
"""-1 says that the field is off."""
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Word = Annotated[str, Meta(max_length=256)]
"""A name or a choice: no engine has longer ones."""
TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""What fits an engine's own type for them."""
ToolName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_.-]{1,64}\Z")]
Anything = dict[str, Any]
FEW = Caps(
    n=4,
    best_of=0,
    max_tokens=None,
    top_logprobs=0,
    stop=4,
    stop_characters=64,
    logit_bias=0,
    token_ids=0,
    bad_words=0,
    prompts=1,
    messages=64,
    tools=0,
)
"""What `PLAIN` holds at most; of tokens, any number. No caps: a request with more is counted, that is all."""
FewAnswers = Annotated[int, Meta(ge=1, le=FEW.n)]
_FewCharacters = Annotated[str, Meta(min_length=1, max_length=FEW.stop_characters)]
FewStops = _FewCharacters | Annotated[list[_FewCharacters], Meta(max_length=FEW.stop)]


class StreamOptions(Struct, frozen=True):
    """`stream_options`, as far as we act on it."""

    include_usage: bool | None = None


class Part(Struct, frozen=True):
    """One part of a message's content. Its media are judged in `media`."""

    type: Literal[
        "text",
        "refusal",
        "thinking",
        "input_text",
        "output_text",
        "tool_reference",
        "image_url",
        "input_image",
        "audio_url",
        "input_audio",
        "video_url",
        "file",
    ]
    text: str | None = None
    refusal: str | None = None
    thinking: str | None = None
    name: str | None = None


Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class Message(Struct, frozen=True):
    """One chat message."""

    role: Role
    content: str | list[str | Part] | None = None
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[Anything] | None = None
    function_call: Anything | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class Function(Struct, frozen=True):
    """What a model may call."""

    name: ToolName
    description: str | None = None
    parameters: Anything | None = None
    strict: bool | None = None


class Tool(Struct, frozen=True):
    """One of `tools`."""

    type: Literal["function"]
    function: Function


class StructuredOutputs(Struct, frozen=True, forbid_unknown_fields=True):
    """`structured_outputs`: no more than vLLM knows, since all of it is compiled into a grammar."""

    json: str | Anything | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None
    disable_any_whitespace: bool | None = None
    disable_additional_properties: bool | None = None
    whitespace_pattern: str | None = None


class Usual(Struct, frozen=True, kw_only=True):
    """What most requests have, of either operation."""

    model: Annotated[str, Meta(min_length=1, max_length=256)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Whole | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)] | None = None
    top_k: WholeOrNone | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=100)] | None = None
    user: str | None = None
    ignore_eos: bool | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
    store: bool | None = None
    service_tier: Word | None = None
    safety_identifier: Word | None = None
    prompt_cache_key: Word | None = None


# What has no cycles is nothing to the garbage collector (`gc=False`): a tenth of what making them costs.


class PlainMessage(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A message of plain text."""

    role: Role
    content: str


class PlainStreamOptions(StreamOptions, frozen=True, forbid_unknown_fields=True, gc=False):
    """`stream_options` without anything else."""


class PlainChat(Usual, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A chat of a few plain texts with usual fields alone."""

    messages: Annotated[list[PlainMessage], Meta(min_length=1, max_length=FEW.messages)]
    stream_options: PlainStreamOptions | None = None
    max_completion_tokens: Count | None = None
    n: FewAnswers | None = None
    stop: FewStops | None = None


class PlainCompletion(Usual, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A completion of one text with usual fields alone."""

    prompt: str
    stream_options: PlainStreamOptions | None = None
    n: FewAnswers | None = None
    stop: FewStops | None = None


class Fields(Usual, frozen=True, kw_only=True):
    """All that either operation may have."""

    n: Count | None = None
    best_of: Count | None = None
    stop: str | list[str] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    response_format: Anything | None = None
    metadata: Anything | None = None
    prompt_cache_retention: Word | None = None
    prompt_cache_options: Anything | None = None
    length_penalty: Annotated[float, Meta(ge=-100, le=100)] | None = None
    early_stopping: bool | None = None
    min_tokens: Whole | None = None
    stop_token_ids: list[TokenId] | None = None
    allowed_token_ids: list[TokenId] | None = None
    bad_words: list[Annotated[str, Meta(min_length=1, max_length=256)]] | None = None
    spaces_between_special_tokens: bool | None = None
    add_special_tokens: bool | None = None
    truncate_prompt_tokens: WholeOrNone | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_logprobs: Whole | None = None
    logprob_token_ids: list[TokenId] | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    return_prompt_text: bool | None = None
    stream_interval: Count | None = None
    thinking_token_budget: WholeOrNone | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: str | Anything | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None


class ChatFields(Fields, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Count | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Anything | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | Anything | None = None
    logprobs: bool | None = None
    top_logprobs: Whole | None = None
    reasoning_effort: Word | None = None
    include_reasoning: bool | None = None
    verbosity: Word | None = None
    modalities: list[Word] | None = None
    audio: Anything | None = None
    prediction: Anything | None = None
    web_search_options: Anything | None = None
    moderation: Anything | None = None
    continue_final_message: bool | None = None
    chat_template_kwargs: Anything | None = None


class CompletionFields(Fields, frozen=True, kw_only=True):
    """`POST /v1/completions`."""

    prompt: str | list[Any]
    echo: bool | None = None
    suffix: str | None = None
    logprobs: Whole | None = None


PLAIN: Mapping[str, type[PlainChat | PlainCompletion]] = {
    CHAT.name: PlainChat,
    COMPLETIONS.name: PlainCompletion,
}
"""By the name of the operation."""
SHAPES: Mapping[str, type[ChatFields | CompletionFields]] = {
    CHAT.name: ChatFields,
    COMPLETIONS.name: CompletionFields,
}
"""By the name of the operation."""
