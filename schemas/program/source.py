"""A program document's YAML as plain data that remembers its lines.

YAML has traps that a program must not fall into: `on` is a boolean there, `1.10` a float, `2026-01-01T…` a
time without its offset, and of a key given twice one is dropped in silence. So only null, true, false and
whole numbers are read as such, all else is text, and doubled keys, aliases and tags are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from schemas.program.problems import Finding, Path, Problem, ProgramRefused, path_text

MAX_DOCUMENT_CHARS: Final = 1_000_000


class _PlainLoader(yaml.SafeLoader):
    """Resolves null, true, false and decimal integers, and nothing else (YAML 1.2's core without floats)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in the base


_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|)$"), ["~", "n", ""])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|false)$"), ["t", "f"])
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^-?(0|[1-9][0-9]{0,17})$"), list("-0123456789")
)


@dataclass
class Source:
    """The document's data and where each part of it stands."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def problem(self, finding: Finding) -> Problem:
        """A finding with its line: that of the nearest part that is written down."""
        path = finding.path
        while path and path not in self.lines:
            path = path[:-1]
        return Problem(self.lines.get(path, 1), path_text(finding.path), finding.message, finding.fix)

    def written(self, location: tuple[int | str, ...]) -> Path:
        """pydantic's place of an error as a path of the document: without the branches it took in unions."""
        path: Path = ()
        for index, step in enumerate(location):
            below = (*path, step)
            last = index == len(location) - 1
            if below in self.lines or (last and isinstance(step, str) and self._misses(path, step)):
                path = below
        return path

    def _misses(self, path: Path, name: str) -> bool:
        """Whether that is a mapping in which a field of that name is not written."""
        return path in self.lines and isinstance(self.at(path), dict) and name.isidentifier()

    def at(self, path: Path) -> Any:
        """The data at a path that is written."""
        value = self.data
        for step in path:
            value = value[step]
        return value


def read_source(text: str) -> Source:
    """The document's data with its lines. Raises ProgramRefused where the text is no YAML mapping."""
    if len(text) > MAX_DOCUMENT_CHARS:
        raise ProgramRefused([Problem(1, "", f"the document has more than {MAX_DOCUMENT_CHARS:,} characters", "")])
    try:
        root = yaml.compose(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ProgramRefused([Problem(line, "", f"is no YAML: {error.problem}", "")]) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ProgramRefused([Problem(1, "", f"is no YAML: {error}", "")]) from None
    if not isinstance(root, yaml.MappingNode):
        raise ProgramRefused([Problem(1, "", "a program is a mapping", "begin with `program: name`")])
    source = Source()
    source.data = _plain(root, (), source, set())
    return source


def _plain(node: yaml.Node, path: Path, source: Source, seen: set[int]) -> Any:
    source.lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in seen:
        source.findings.append(Finding(path, "aliases are not read here", "write it out"))
        return None
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        plain: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                source.findings.append(Finding(path, "a field's name is text"))
                continue
            # A name keeps its text, whatever else it could be read as: `7`, `none`, `on`.
            key = key_node.value
            below = (*path, key)
            if key in plain:
                source.findings.append(Finding(below, f"`{key}` is given twice", "keep one of them"))
            source.lines[below] = key_node.start_mark.line + 1
            plain[key] = _plain(value_node, below, source, seen)
        return plain
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, index), source, seen) for index, item in enumerate(node.value)]
    return _scalar(node, path, source)


def _scalar(node: yaml.Node, path: Path, source: Source) -> Any:
    text: str = node.value
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return text
        case "int" if re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        case "bool" if text in ("true", "false"):
            return text == "true"
        case "null":
            return None
    source.findings.append(Finding(path, f"the tag {node.tag} is not read here", "write plain text"))
    return None
