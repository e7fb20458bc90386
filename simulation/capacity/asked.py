"""One request of a scenario: what is asked, and what came of it."""

from __future__ import annotations

from gateway.core.outcome import Outcome
from simulation.capacity.prompts import Prompt


class Asked:
    """Filled in by its caller, by the engine that worked on it, and by the gateway's own record of the call."""

    __slots__ = (
        "answered_tokens", "cached_tokens", "code", "ended", "first", "id", "is_stream", "outcome", "output_tokens", "prompt",
        "replica", "sent", "status", "waited", "worked_tokens", "workload",
    )  # fmt: skip

    def __init__(
        self,
        workload: int,
        request_id: str,
        prompt: Prompt,
        output_tokens: int,
        *,
        is_stream: bool,
        sent: float,
    ) -> None:
        self.workload = workload
        """Its place among the scenario's."""
        self.id = request_id
        self.is_stream = is_stream
        self.prompt = prompt
        self.output_tokens = output_tokens
        """Of a whole answer."""
        self.sent = sent
        self.first: float | None = None
        """When the first content reached the caller."""
        self.ended: float | None = None
        self.status = 0
        self.code: str | None = None
        self.outcome: Outcome | None = None
        """`None` while it runs."""
        self.waited: float | None = None
        """Seconds until it was given to an engine."""
        self.replica: str | None = None
        self.answered_tokens = 0
        self.cached_tokens = 0
        self.worked_tokens = 0
        """What engines computed for it, whether or not anything of it was of use."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer came."""
        return self.outcome is Outcome.OK and self.status == 200  # noqa: PLR2004 - HTTP's OK
