"""What can be wrong with a configuration, in words an operator can act on."""

from __future__ import annotations

from dataclasses import dataclass

MOST_REPORTED = 20
"""More problems than this are counted and not listed: the first ones are what gets mended first."""

CODES = {
    "CFG001": "The file cannot be read: missing, a folder, not permitted, or too large.",
    "CFG002": "The text is not UTF-8 or not YAML.",
    "CFG003": "A key that does not exist at this place.",
    "CFG004": "A value of the wrong type.",
    "CFG005": "A value that is none of the allowed words.",
    "CFG006": "A value out of its bounds or not in the form it needs.",
    "CFG007": "A key that must be given is missing.",
    "CFG008": "A key is written twice.",
    "CFG009": "A ${VARIABLE} is not set or not written correctly.",
    "CFG010": "A secret can be read by others, or its file cannot be read.",
    "CFG011": "Two values that contradict each other.",
    "CFG012": "A CASCADIA_... variable with an unusable value.",
}
"""Code → what it stands for. Codes are never reused for something else."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong. `where` is `FILE:LINE:COLUMN`, a variable or a flag."""

    code: str
    where: str
    what: str
    why: str
    hint: str | None = None
    next_command: str | None = None

    def lines(self) -> list[str]:
        """Two or three lines: where and what, why, and what to write instead."""
        lines = [f"{self.where}: {self.code} {self.what}", f"    why: {self.why}"]
        if self.hint:
            lines.append(f"    fix: {self.hint}")
        return lines


class ConfigErrors(Exception):
    """The configuration is refused. `problems` holds every one that was found, in the order of the file."""

    def __init__(
        self, problems: list[ConfigProblem], *, next_command: str, of: str = "configuration"
    ) -> None:
        super().__init__(f"{len(problems)} problem{'s' * (len(problems) != 1)} in the {of}")
        self.problems = tuple(problems)
        self._next_command = next_command

    @property
    def next_command(self) -> str:
        """The one command to run next: what mends the only problem, else what shows whether all are mended."""
        if len(self.problems) == 1 and self.problems[0].next_command:
            return self.problems[0].next_command
        return self._next_command

    def report(self) -> str:
        """All of it as text. The last line is the command to run next."""
        lines = [line for problem in self.problems[:MOST_REPORTED] for line in problem.lines()]
        if len(self.problems) > MOST_REPORTED:
            lines.append(f"... and {len(self.problems) - MOST_REPORTED} more")
        lines.append(f"{self}: nothing was started")
        lines.append(f"next: {self.next_command}")
        return "\n".join(lines)
