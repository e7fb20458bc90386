"""`requests`, `caps` and `isolation`: what one request may hold, ask for, and learn of others."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.schema.addresses import MediaHost
from config.schema.amounts import AtLeastOne, Cap, Tokens
from config.schema.names import FieldName, ModelName, Name
from config.schema.section import Section


class Requests(Section):
    """What a request body may hold."""

    privileged_fields: Literal["refuse", "strip"] = Field(
        "refuse",
        description="Fields that reach beyond the caller's own request, as priority and chat_template do: "
        "answer 400, or leave them out.",
    )
    unknown_fields: Literal["strip", "refuse", "pass"] = Field(
        "strip",
        description="Fields that neither OpenAI's API nor vLLM has: leave them out, answer 400, or send them.",
    )
    allowed_fields: tuple[FieldName, ...] = Field(
        (),
        strict=False,
        description="Fields that pass unseen, privileged and unknown ones too: NAME or chat_template_kwargs.NAME.",
    )
    allowed_media_hosts: tuple[MediaHost, ...] = Field(
        (),
        strict=False,
        description="Hosts from which engines may fetch images, sound and video over https. None: data: URLs only.",
    )
    allow_grammars: bool = Field(
        default=False, description="Let callers send grammars and structural tags, which engines compile."
    )


class CapsOf(Section):
    """Caps of one model or one API key. The strictest of all that apply counts."""

    n: AtLeastOne | None = Field(None, description="As `caps.n`.")
    best_of: AtLeastOne | None = Field(None, description="As `caps.best_of`.")
    max_tokens: Tokens | None = Field(None, description="As `caps.max_tokens`.")
    top_logprobs: Cap | None = Field(None, description="As `caps.top_logprobs`.")
    stop: Cap | None = Field(None, description="As `caps.stop`.")
    stop_characters: AtLeastOne | None = Field(None, description="As `caps.stop_characters`.")
    logit_bias: Cap | None = Field(None, description="As `caps.logit_bias`.")
    token_ids: Cap | None = Field(None, description="As `caps.token_ids`.")
    bad_words: Cap | None = Field(None, description="As `caps.bad_words`.")
    prompts: AtLeastOne | None = Field(None, description="As `caps.prompts`.")
    messages: AtLeastOne | None = Field(None, description="As `caps.messages`.")
    tools: Cap | None = Field(None, description="As `caps.tools`.")


class Caps(CapsOf):
    """The most that one request may ask for; more is answered 400. `null` is no cap."""

    n: AtLeastOne | None = Field(8, description="Answers.")
    best_of: AtLeastOne | None = Field(8, description="Answers to choose from.")
    max_tokens: Tokens | None = Field(
        None,
        description="Tokens of all answers together: n x max_tokens. A request that names none gets this.",
    )
    top_logprobs: Cap | None = Field(
        20, description="Alternatives to each token; logprobs and prompt_logprobs too."
    )
    stop: Cap | None = Field(4, description="Stop strings.")
    stop_characters: AtLeastOne | None = Field(256, description="Characters of one stop string.")
    logit_bias: Cap | None = Field(300, description="Entries of logit_bias.")
    token_ids: Cap | None = Field(
        1024, description="Ids in stop_token_ids, allowed_token_ids and logprob_token_ids, each."
    )
    bad_words: Cap | None = Field(128, description="Words in bad_words.")
    prompts: AtLeastOne | None = Field(1024, description="Prompts of one completion.")
    messages: AtLeastOne | None = Field(4096, description="Messages of one chat.")
    tools: Cap | None = Field(512, description="Tools of one chat.")
    models: dict[ModelName, CapsOf] = Field(
        default_factory=dict, description="Caps for models: public name, then any of the keys above."
    )
    keys: dict[Name, CapsOf] = Field(
        default_factory=dict, description="Caps for API keys: id of the key, then any of the keys above."
    )


class Isolation(Section):
    """What callers can learn of each other through the engines."""

    share_prefixes: Literal["team", "organisation", "all"] = Field(
        "team",
        description="Among whom engines reuse what they computed for the beginning of a prompt. "
        "all: faster where many send the same, and callers can learn by timing what others have sent.",
    )
