"""The words that stand under a field in the source, for schemas and reference pages.

They are read from the source when something is generated, so that a running service pays nothing for them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parent.parent


@cache
def _source() -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """By class the words of its fields, and the names of its bases."""
    fields: dict[str, dict[str, str]] = {}
    bases: dict[str, list[str]] = {}
    for package in ("events", "program"):
        bodies = [ast.parse(path.read_text(encoding="utf-8")).body for path in sorted((_ROOT / package).glob("*.py"))]
        # A field without words of its own has those of its kind of value.
        kinds = {name: words for body in bodies for name, words in _with_words(body)}
        for node in (node for body in bodies for node in body if isinstance(node, ast.ClassDef)):
            bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
            own = dict(_with_words(node.body))
            for statement in node.body:
                if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                    own.setdefault(statement.target.id, kinds.get(_kind(statement.annotation), ""))
            fields[node.name] = own
    return fields, bases


def _with_words(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Each assignment that a text follows, with the text on one line."""
    for statement, after in pairwise(body):
        target = (
            statement.target
            if isinstance(statement, ast.AnnAssign)
            else statement.targets[0]
            if isinstance(statement, ast.Assign)
            else None
        )
        if (
            isinstance(target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            yield target.id, " ".join(after.value.value.split())


def _kind(annotation: ast.expr) -> str:
    """The kind of value that an annotation names: `Money` in `NotRequired[Money | None]`."""
    match annotation:
        case ast.Name(id=name):
            return name
        case ast.Subscript(value=ast.Name(id="NotRequired"), slice=inner):
            return _kind(inner)
        case ast.BinOp(left=inner, right=ast.Constant(value=None)):
            return _kind(inner)
    return ""


def field_words(class_name: str, field: str) -> str:
    """What a field of a class means, own or inherited; empty if nothing is said."""
    fields, bases = _source()
    if words := fields.get(class_name, {}).get(field, ""):
        return words
    for base in bases.get(class_name, []):
        if words := field_words(base, field):
            return words
    return ""
