"""How much of a call's prompt each replica has in its cache, by the engines' own word."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.balancer.precise.asked import read
from gateway.balancer.precise.reader import Readers
from gateway.balancer.precise.tokens import Prompt, Run
from gateway.core.call import Call, Principal
from gateway.fleet.cached import Blocks, Followers
from gateway.fleet.cached.blocks import Sharing
from gateway.fleet.replica import Replica

MOST_BYTES = 1 << 20
"""Of a body that is read: rendering takes time on the event loop in proportion to it."""

SaltOf = Callable[[Principal, str], str | None]
"""The salt that a caller's prompts get at engines of a kind, if any."""


class Told:
    """One call's prompt, compared with what engines have. Made once a call, and dropped with the choice."""

    __slots__ = ("_call", "_clock", "_followers", "_found", "_prompts", "_salt", "_salt_of", "_salts")

    def __init__(
        self,
        call: Call,
        followers: Followers,
        prompts: Callable[[int], Prompt | None],
        salt: str | None,
        salt_of: SaltOf,
        clock: Callable[[], float],
    ) -> None:
        self._call = call
        self._clock = clock
        self._followers = followers
        self._prompts = prompts
        self._salt = salt
        self._salt_of = salt_of
        self._salts: dict[str, str | None] = {}
        self._found: dict[int, Prompt | None] = {}

    def cached(self, replica: Replica) -> int | None:
        """Tokens of the prompt that the replica will find in its cache; `None` when that is not known."""
        blocks = self._followers.of(replica)
        if blocks is None:
            return None
        if not blocks.size:
            return 0
        size = blocks.size
        if size not in self._found:
            self._found[size] = self._prompts(size)
        prompt = self._found[size]
        if prompt is None:
            return None
        matched = blocks.matched(self._sharing(replica, blocks), prompt.chain, self._clock())
        if prompt.is_whole:  # an engine computes at least the last token
            matched = min(matched, max(0, prompt.tokens - 1) // size)
        return matched * size

    def sent(self, replica: Replica) -> None:
        """The replica gets the call: who comes after it may count on what it will store."""
        blocks = self._followers.of(replica)
        prompt = None if blocks is None else self._found.get(blocks.size)
        if blocks is not None and prompt is not None:
            blocks.sent(self._sharing(replica, blocks), prompt.chain, self._clock())

    @property
    def tokens(self) -> int | None:
        """How many the prompt has; `None` where that is not known, which it may be after `cached`."""
        for prompt in self._found.values():
            if prompt is not None and prompt.is_whole:
                return prompt.tokens
        return None

    def _sharing(self, replica: Replica, blocks: Blocks) -> Sharing:
        return self._adapter(replica, blocks), self._salt_for(replica)

    def _salt_for(self, replica: Replica) -> str | None:
        engine = replica.endpoint.engine
        if engine not in self._salts:
            salt = self._salt_of(self._call.principal, engine)
            self._salts[engine] = self._salt if salt is None else salt
        return self._salts[engine]

    def _adapter(self, replica: Replica, blocks: Blocks) -> str | None:
        if not blocks.adapters:
            return None
        name = dict(replica.endpoint.models).get(self._call.model)
        return name if name in blocks.adapters else None


class Knowledge:
    """Looks at calls for one gateway process."""

    def __init__(
        self, followers: Followers, run: Run, salt_of: SaltOf, *, clock: Callable[[], float]
    ) -> None:
        self.followers = followers
        self.readers = Readers(run)
        self._salt_of = salt_of
        self._clock = clock

    def prepare(self) -> None:
        """Load what prompts will be read with."""
        for follower in self.followers:
            self.readers.of(follower.where.tokenizer)

    def look(self, call: Call, replicas: Sequence[Replica]) -> Told | None:
        """What is known of the call; `None` when nothing is."""
        body = call.envelope.body
        folder = next((r.endpoint.published.tokenizer for r in replicas if r.endpoint.published), None)
        if folder is None or len(body) > MOST_BYTES:
            return None
        reader = self.readers.of(folder)
        asked = None if reader is None else read(body)
        if reader is None or asked is None:
            return None
        text = reader.text(asked)
        if text is None and not isinstance(asked.prompt, list):
            return None
        return Told(
            call,
            self.followers,
            lambda size: reader.prompt(asked, text, size),
            asked.cache_salt,
            self._salt_of,
            self._clock,
        )
