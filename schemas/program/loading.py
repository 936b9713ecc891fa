"""From the text of a program document to a program that may be published."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from schemas.program import lint
from schemas.program.built import not_built
from schemas.program.document import Program
from schemas.program.problems import Finding, Problem, ProgramRefused
from schemas.program.source import Source, read_source


@dataclass(frozen=True, slots=True)
class Checked:
    """A program that may be published, and what its author should look at."""

    program: Program
    warnings: tuple[Problem, ...]


def check(text: str) -> Checked:
    """The program of a YAML (or JSON) document, and its warnings. Raises ProgramRefused."""
    source = read_source(text)
    findings = source.findings
    program = None
    try:
        program = Program.model_validate(source.data)
    except ValidationError as error:
        findings += [_finding(detail, source) for detail in error.errors(include_url=False)]
    else:
        findings += lint.errors(program)
    # A value that does not exist at all is no part to be built.
    broken = {finding.path for finding in findings}
    findings += [finding for finding in not_built(source.data) if finding.path not in broken]
    if findings or program is None:
        problems = {source.problem(finding) for finding in findings}
        raise ProgramRefused(sorted(problems, key=lambda problem: (problem.line, problem.path, problem.message)))
    return Checked(program, tuple(source.problem(finding) for finding in lint.warnings(program)))


def load(text: str) -> Program:
    """The program of a YAML (or JSON) document. Raises ProgramRefused with every problem at once."""
    return check(text).program


def _finding(detail: ErrorDetails, source: Source) -> Finding:
    """What pydantic found, in words for a marketer."""
    path = source.written(detail["loc"])
    match detail["type"]:
        case "unknown_rule":
            return Finding((*path, "on"), detail["msg"])
        case "missing":
            return Finding(path, "is missing", "add it")
        case "extra_forbidden":
            return Finding(path, "is no field of this part", "check its spelling, or leave it out")
        case "string_pattern_mismatch":
            return Finding(path, f"is not written as expected ({detail['ctx']['pattern']})")
        case "literal_error":
            return Finding(path, "has no such value", f"one of {detail['ctx']['expected']}")
    return Finding(path, detail["msg"][:1].lower() + detail["msg"][1:])
