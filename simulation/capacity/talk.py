"""Who asks and in which words: drawing the requests of one workload, and the conversations they are part of."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from simulation.capacity.prompts import Paths, Prompt, Segment
from simulation.capacity.scenario import Workload
from simulation.capacity.sizes import draw
from simulation.capacity.trace import TraceLine


@dataclass(slots=True)
class Talk:
    """One conversation; a single request is one of one turn."""

    session: str
    said: tuple[Segment, ...]
    """What was said so far, the shared beginning first."""
    rng: Random
    left: int
    """Requests still to come."""
    line: TraceLine | None = None
    output_tokens: int = 0

    def ask(self, workload: Workload, paths: Paths) -> Prompt:
        """The next request's prompt; `output_tokens` is the length of the answer to it."""
        self.left -= 1
        line, rng = self.line, self.rng
        tokens = line.prompt if line and line.prompt else draw(workload.prompt, rng)
        self.output_tokens = line.output if line and line.output else draw(workload.output, rng)
        self.said = (*self.said, Segment("user", paths.new(), tokens))
        prompt = Prompt(self.said, paths.new())
        self.said = (*self.said, Segment("assistant", prompt.answer_path, self.output_tokens))
        return prompt


class Talks:
    """Begins the conversations of one workload. The same ones for the same seed, whatever answers they get."""

    def __init__(self, workload: Workload, seed: int, paths: Paths) -> None:
        self._workload = workload
        self._seed = seed
        self._paths = paths
        self._rng = Random(f"{seed}/{workload.name}/requests")
        self._prefixes: dict[str, Segment] = {}
        self._begun = 0

    def begin(self, line: TraceLine | None = None) -> Talk:
        """The next one."""
        workload = self._workload
        number = self._begun
        self._begun += 1
        session = f"{workload.name}-{number}"
        said: tuple[Segment, ...] = ()
        prefix = workload.prefix
        if prefix is not None:
            group = line.prefix if line and line.prefix else str(self._rng.randrange(prefix.groups))
            said = (self._prefix(group, prefix.tokens),)
            if workload.turns is None:
                session = f"{workload.name}-{group}"
        if workload.turns is None:
            return Talk(session, said, self._rng, 1, line)
        rng = Random(f"{self._seed}/{workload.name}/{number}")
        return Talk(session, said, rng, workload.turns.count, line)

    def _prefix(self, group: str, tokens: int) -> Segment:
        found = self._prefixes.get(group)
        if found is None:
            found = self._prefixes[group] = Segment("system", self._paths.new(), tokens)
        return found
