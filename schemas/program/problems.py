"""What is wrong with a program document, where, and the way out."""

from __future__ import annotations

from dataclasses import dataclass

Path = tuple[str | int, ...]
"""A place in the document: `("earn", 0, "bands")`."""


def path_text(path: Path) -> str:
    """A path as people write it: `earn[0].bands`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else (f".{step}" if text else step)
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a look."""

    line: int
    """Line of the text, from 1."""
    path: str
    """`earn[0].bands.steps[1].rate`; empty for the document as a whole."""
    message: str
    fix: str
    """What to write instead; empty where the message says it all."""

    def __str__(self) -> str:
        where = f"line {self.line}: {self.path}: " if self.path else f"line {self.line}: "
        return where + self.message + (f"; {self.fix}" if self.fix else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before it has its line."""

    path: Path
    message: str
    fix: str = ""


class ProgramRefused(ValueError):
    """A program document that cannot be published: every problem at once, in the order of their lines."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
