"""What a call may use at most, known before it is sent, and what it did use.

A tokenizer that works on bytes makes at most one token of each, so a prompt has no more tokens than its body has bytes.
What a chat template writes around a message is shorter than the JSON around it; what it writes once, a system prompt of
its own or how to call tools, is `TEMPLATE_TOKENS`. Pictures and sound become tokens by other rules, which differ from
model to model: a request with such a part is taken for as long as the model's context.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from gateway.core.call import Envelope
from gateway.core.outcome import Usage
from gateway.ratelimit.allowance import FREE, Prices

TEMPLATE_TOKENS: Final = 512
"""For what a chat template adds once to a request."""
_THOUSANDTHS: Final = 1000
_MEDIA: Final = re.compile(rb'"(?:(?:image|audio|video|file)_url|input_image|input_audio|file_data)"')
"""A part with media. Inside a text these quotes would be escaped; a tool's field of that name is taken for one."""


Demand: TypeAlias = tuple[int, int, int, int, int, int]
"""Amounts, in the order of `Unit`: requests, input tokens, output tokens, both together, cost in millionths of the
currency (rounded up), and slots, of which a call that is over holds none. A plain tuple: two are made for every call."""
INPUT: Final = 1
OUTPUT: Final = 2
TOKENS: Final = 3
COST: Final = 4

ONE: Final[Demand] = (1, 0, 0, 0, 0, 1)
"""A request of whatever size."""
ONE_OVER: Final[Demand] = (1, 0, 0, 0, 0, 0)
"""The same when it is over."""
NOTHING_USED: Final[Demand] = (0, 0, 0, 0, 0, 0)


def worst_case(
    envelope: Envelope,
    is_chat: bool,
    prices: Prices,
    context: int | None,
    longest: int,
) -> Demand:
    """The most that a request may use.

    `context` is the model's, if it is known: no prompt and its answer are longer together. `longest` stands for it where one is needed.
    """
    answers = envelope.answers
    prompts = 1 if is_chat else answers
    most = len(envelope.body) + TEMPLATE_TOKENS
    if not envelope.is_text and _has_media(envelope.body):
        most = max(most, longest * prompts) if context is None else longest * prompts
    elif context is not None and most > context * prompts:
        most = context * prompts
    output = answers * (longest if envelope.most_tokens is None else envelope.most_tokens)
    tokens = most + output
    if context is not None and tokens > context * answers:
        tokens = context * answers
    if prices is FREE:
        return (1, most, output, tokens, 0, 1)
    dearest = max(prices.input, prices.cached_input)
    return (1, most, output, tokens, _rounded(most * dearest + output * prices.output), 1)


def used(usage: Usage, prices: Prices) -> Demand:
    """What a call used, as its engine counted. An engine that counts below zero counted nothing."""
    prompt, output = usage.prompt_tokens, usage.completion_tokens
    if prompt < 0 or output < 0:
        prompt, output = max(0, prompt), max(0, output)
    if prices is FREE:
        return (1, prompt, output, prompt + output, 0, 0)
    cached = min(max(0, usage.cached_tokens), prompt)
    cost = (prompt - cached) * prices.input + cached * prices.cached_input + output * prices.output
    return (1, prompt, output, prompt + output, _rounded(cost), 0)


def interrupted(worst: Demand, output: int | None, prices: Prices) -> Demand:
    """What to count for a call whose engine worked and never said on how much.

    All of its prompt. Of its answer no more than `output`, if so much is known; or leaving just before the end would be
    a way to use more than one may.
    """
    _, prompt, most, both, cost, _ = worst
    if output is None or output >= most:
        return (1, prompt, most, both, cost, 0)
    cost -= (most - output) * prices.output // _THOUSANDTHS
    return (1, prompt, output, min(both, prompt + output), cost, 0)


def _has_media(body: bytes) -> bool:
    might = b'_url"' in body or b'"input_' in body or b'"file_' in body
    return might and _MEDIA.search(body) is not None


def _rounded(cost: int) -> int:
    """Thousandths of a millionth as millionths, rounded up."""
    return -(-cost // _THOUSANDTHS)
