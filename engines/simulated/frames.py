"""The bytes of an answer: vLLM's keys in vLLM's order, for a whole answer and for each event of a stream.

Written with byte templates, not with a JSON encoder: an event costs about two microseconds this way.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

import msgspec

from engines.simulated import wording
from engines.simulated.answers import Answer, tool_call_id
from engines.simulated.asks import Ask
from engines.simulated.options import FINGERPRINT

DONE = b"data: [DONE]\n\n"
_FINGERPRINT = f',"system_fingerprint":"{FINGERPRINT}"'.encode()
_PLAIN_END = b'},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'
_encode = msgspec.json.encode


class _Common:
    """What the two routes share: the beginning of each event, usage, the last events."""

    def __init__(
        self, ask: Ask, answer_id: str, kind: str, model: str, created: int, force_usage: bool
    ) -> None:
        self.ask = ask
        self.answer_id = answer_id
        self.identity = b'"id":%s,"object":"%s","created":%d,"model":%s,"choices":[' % (
            _encode(answer_id),
            kind.encode(),
            created,
            _encode(model),
        )
        self.include_usage = ask.include_usage or force_usage
        self.prompt_total = sum(ask.prompt_tokens)

    def usage_event(self, completion_tokens: int) -> bytes:
        """Give the event that carries the usage of the whole answer."""
        usage = self._usage(self.prompt_total, completion_tokens)
        return b'data: {%s],"usage":{%s}%s}\n\n' % (self.identity, usage, _FINGERPRINT)

    def _usage(self, prompt: int, completion: int) -> bytes:
        return b'"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d' % (
            prompt,
            prompt + completion,
            completion,
        )

    def _whole(self, choices: Items[bytes], completion: int, tail: bytes) -> bytes:
        return (
            b'{%s%s],"service_tier":null%s,"usage":{%s,"prompt_tokens_details":null,"completion_tokens_details":null}%s}'
            % (
                self.identity,
                b",".join(choices),
                _FINGERPRINT,
                self._usage(self.prompt_total, completion),
                tail,
            )
        )

    def _ids(self, pieces: list[str]) -> bytes:
        if not self.ask.token_ids:
            return b"null"
        return _encode([wording.token_id(p) if p else wording.END_TOKEN for p in pieces])

    def prompt_ids(self, number: int = 0) -> bytes:
        """Give the ids of a prompt's tokens, or null when they were not asked for."""
        if not self.ask.token_ids:
            return b"null"
        return _encode([wording.token_id(p) for p in wording.split_tokens(self.ask.prompts[number])])


class ChatFrames(_Common):
    """Chat completions."""

    def __init__(
        self, ask: Ask, answer_id: str, model: str, created: int, *, has_parser: bool, force_usage: bool
    ) -> None:
        kind = "chat.completion.chunk" if ask.stream else "chat.completion"
        super().__init__(ask, answer_id, kind, model, created, force_usage)
        self._end_delta = b"{}" if has_parser else b'{"content":""}'
        self._is_plain = ask.logprobs is None and not ask.token_ids and not ask.continuous_usage
        self._plain_starts = [
            b'data: {%s{"index":%d,"delta":{"content":' % (self.identity, i)
            for i in range(ask.n if ask.stream else 0)
        ]

    def opening(self) -> list[bytes]:
        """Give one event with the role for each choice."""
        usage = self._continuous(0)
        tail = b',"prompt_token_ids":%s,"prompt_text":null' % self.prompt_ids()
        return [
            b'data: {%s{"index":%d,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]%s%s}\n\n'
            % (self.identity, index, usage, tail)
            for index in range(self.ask.n)
        ]

    def step(self, index: int, answer: Answer, start: int, end: int) -> list[bytes]:
        """Give the events for tokens `start` to `end` of choice `index`."""
        if answer.tool is not None:
            return self._tool_step(index, answer, start, end)
        text = answer.deltas[start] if end - start == 1 else "".join(answer.deltas[start:end])
        is_end = end == len(answer.pieces)
        if self._is_plain and not is_end:
            return [self._plain_starts[index] + _encode(text) + _PLAIN_END]
        delta = self._end_delta if is_end and not text else b'{"content":%s}' % _encode(text)
        return [self._event(index, delta, answer, start, end)]

    def _event(self, index: int, delta: bytes, answer: Answer, start: int, end: int) -> bytes:
        logprobs = b"null" if self.ask.logprobs is None else self._logprobs(answer.pieces[start:end])
        ids = self._ids(answer.pieces[start:end])
        usage = self._continuous(end)
        if end < len(answer.pieces):
            return (
                b'data: {%s{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":null,"token_ids":%s}]%s}\n\n'
                % (self.identity, index, delta, logprobs, ids, usage)
            )
        return (
            b'data: {%s{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s,"stop_reason":%s,"token_ids":%s}]%s%s}\n\n'
            % (
                self.identity,
                index,
                delta,
                logprobs,
                _encode(finish_reason(answer)),
                _encode(answer.stop_reason),
                ids,
                usage,
                b"" if self.include_usage else _FINGERPRINT,
            )
        )

    def _tool_step(self, index: int, answer: Answer, start: int, end: int) -> list[bytes]:
        tool = answer.tool
        events = []
        if start == 0 and tool is not None:
            call = b'{"id":%s,"type":"function","index":0,"function":{"name":%s}}' % (
                _encode(tool_call_id(self.answer_id, index)),
                _encode(tool.name),
            )
            # A name alone is never the last event: it goes before its first piece of arguments.
            delta = b'{"content":null,"tool_calls":[%s]}' % call
            events.append(
                b'data: {%s{"index":%d,"delta":%s,"logprobs":null,"finish_reason":null,"token_ids":null}]%s}\n\n'
                % (self.identity, index, delta, self._continuous(start))
            )
        arguments = "".join(answer.deltas[start:end])
        delta = b"{}"
        if arguments:
            piece = b'{"index":0,"function":{"arguments":%s}}' % _encode(arguments)
            delta = b'{"content":null,"tool_calls":[%s]}' % piece
        events.append(self._event(index, delta, answer, start, end))
        return events

    def whole(self, answers: Items[Answer]) -> bytes:
        """Give the body of an answer that is not streamed."""
        choices = [self._choice(i, answer) for i, answer in enumerate(answers)]
        tail = (
            b',"prompt_logprobs":null,"prompt_token_ids":%s,"prompt_text":null,"kv_transfer_params":null,'
            b'"ec_transfer_params":null,"metrics":null' % self.prompt_ids()
        )
        return self._whole(choices, sum(len(a.pieces) for a in answers), tail)

    def _choice(self, index: int, answer: Answer) -> bytes:
        content, calls = _encode(answer.text), b""
        tool = answer.tool
        if tool is not None:
            content = b'""' if tool.is_required or tool.by_name else b"null"
            calls = b'"tool_calls":[{"id":%s,"type":"function","function":{"name":%s,"arguments":%s}}],' % (
                _encode(tool_call_id(self.answer_id, index)),
                _encode(tool.name),
                _encode(answer.text),
            )
        return (
            b'{"index":%d,"message":{"role":"assistant","content":%s,"refusal":null,"annotations":null,"audio":null,'
            b'"function_call":null,%s"reasoning":null},"logprobs":%s,"finish_reason":%s,"stop_reason":%s,'
            b'"token_ids":%s,"routed_experts":null}'
            % (
                index,
                content,
                calls,
                b"null" if self.ask.logprobs is None else self._logprobs(answer.pieces),
                _encode(finish_reason(answer)),
                _encode(answer.stop_reason),
                self._ids(answer.pieces),
            )
        )

    def _continuous(self, completion: int) -> bytes:
        if not self.ask.continuous_usage:
            return b""
        return b',"usage":{%s,"completion_tokens_details":null}' % self._usage(self.prompt_total, completion)

    def _logprobs(self, pieces: list[str]) -> bytes:
        content = []
        for piece in pieces:
            shown = piece or wording.END_PIECE
            entry = {"token": shown, "logprob": logprob(shown, 0), "bytes": list(shown.encode())}
            ranked = [entry, *(_alternative(shown, rank) for rank in range(1, self.ask.logprobs or 0))]
            content.append({**entry, "top_logprobs": ranked if self.ask.logprobs else []})
        return _encode({"content": content})


class CompletionFrames(_Common):
    """Plain completions."""

    def __init__(self, ask: Ask, answer_id: str, model: str, created: int, *, force_usage: bool) -> None:
        super().__init__(ask, answer_id, "text_completion", model, created, force_usage)

    def opening(self) -> list[bytes]:
        """Give nothing: a completion has no event before its first token."""
        return []

    def step(self, index: int, answer: Answer, start: int, end: int) -> list[bytes]:
        """Give the event for tokens `start` to `end` of choice `index`."""
        number = index // self.ask.n
        text = "".join(answer.deltas[start:end])
        if self.ask.echo and start == 0:
            text = self.ask.prompts[number] + text
        is_end = end == len(answer.pieces)
        usage = b""
        if self.ask.continuous_usage:
            usage = b',"usage":{%s}' % self._usage(self.ask.prompt_tokens[number], end)
        return [
            b'data: {%s{"index":%d,"text":%s,"logprobs":%s,"finish_reason":%s,"stop_reason":%s,"prompt_token_ids":%s,'
            b'"token_ids":%s}]%s%s}\n\n'
            % (
                self.identity,
                index,
                _encode(text),
                self._logprobs(answer, start, end),
                _encode(answer.finish_reason) if is_end else b"null",
                _encode(answer.stop_reason) if is_end else b"null",
                self.prompt_ids(number) if start == 0 else b"null",
                self._ids(answer.pieces[start:end]),
                usage,
                _FINGERPRINT if is_end and not self.include_usage else b"",
            )
        ]

    def whole(self, answers: Items[Answer]) -> bytes:
        """Give the body of an answer that is not streamed."""
        choices = [self._choice(i, answer) for i, answer in enumerate(answers)]
        tail = b',"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null'
        return self._whole(choices, sum(len(a.pieces) for a in answers), tail)

    def _choice(self, index: int, answer: Answer) -> bytes:
        number = index // self.ask.n
        text = self.ask.prompts[number] + answer.text if self.ask.echo else answer.text
        return (
            b'{"index":%d,"text":%s,"logprobs":%s,"finish_reason":%s,"stop_reason":%s,"token_ids":%s,'
            b'"prompt_logprobs":null,"prompt_token_ids":%s,"routed_experts":null}'
            % (
                index,
                _encode(text),
                self._logprobs(answer, 0, len(answer.pieces)),
                _encode(answer.finish_reason),
                _encode(answer.stop_reason),
                self._ids(answer.pieces),
                self.prompt_ids(number),
            )
        )

    def _logprobs(self, answer: Answer, start: int, end: int) -> bytes:
        if self.ask.logprobs is None:
            return b"null"
        offset = sum(map(len, answer.pieces[:start]))
        offsets: list[int] = []
        for piece in answer.pieces[start:end]:
            offsets.append(offset)
            offset += len(piece)
        tokens = [piece or wording.END_PIECE for piece in answer.pieces[start:end]]
        return _encode(
            {
                "text_offset": offsets,
                "token_logprobs": [logprob(t, 0) for t in tokens],
                "tokens": tokens,
                "top_logprobs": [self._ranked(t) for t in tokens],
            }
        )

    def _ranked(self, token: str) -> dict[str, float]:
        ranks = range(max(1, self.ask.logprobs or 0))
        return {_ranked_token(token, rank): logprob(token, rank) for rank in ranks}


def finish_reason(answer: Answer) -> str:
    """Give why a chat choice ended: a call that the model chose to make has a word of its own."""
    if answer.tool is not None and not answer.tool.by_name and answer.finish_reason == "stop":
        return "tool_calls"
    return answer.finish_reason


def logprob(token: str, rank: int) -> float:
    """Give a log probability that is the same for the same token and falls with the rank."""
    return -(0.01 + wording.token_id(token) % 97 / 1000) - 2.5 * rank


def _alternative(token: str, rank: int) -> dict[str, object]:
    other = _ranked_token(token, rank)
    return {"token": other, "logprob": logprob(token, rank), "bytes": list(other.encode())}


def _ranked_token(token: str, rank: int) -> str:
    return f"{token}~{rank}" if rank else token
