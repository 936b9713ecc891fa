"""Functions and files of the services and of deploy/ stay small enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import REPOSITORY

MAX_PARAMETERS = 6
MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 400

Function = ast.FunctionDef | ast.AsyncFunctionDef

LARGER: dict[str, str] = {}
"""`path:function` or `path` that may be larger, and why."""

FILES = sorted(file for room in ("services", "deploy") for file in (REPOSITORY / room).rglob("*.py"))


def functions_of(file: Path) -> Iterator[tuple[str, Function]]:
    """Each function of a file, at any depth, as `path:name`."""
    path = file.relative_to(REPOSITORY).as_posix()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path}:{node.name}", node


def parameters(function: Function) -> int:
    """How many parameters can be passed by position, `self` and `cls` aside."""
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def lines(function: Function) -> int:
    """The lines from `def` to the end, without the docstring."""
    assert function.end_lineno is not None
    count = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None and first.end_lineno is not None:
        count -= first.end_lineno - first.lineno + 1
    return count


def test_no_function_has_more_than_six_positional_parameters() -> None:
    found = {
        name: parameters(function)
        for file in FILES
        for name, function in functions_of(file)
        if parameters(function) > MAX_PARAMETERS and name not in LARGER
    }
    assert not found


def test_no_function_is_longer_than_forty_lines() -> None:
    found = {
        name: lines(function)
        for file in FILES
        for name, function in functions_of(file)
        if lines(function) > MAX_FUNCTION_LINES and name not in LARGER
    }
    assert not found


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    sizes = {
        file.relative_to(REPOSITORY).as_posix(): len(file.read_text("utf-8").splitlines())
        for pattern in ("*.py", "*.sql")
        for room in ("services", "deploy")
        for file in sorted((REPOSITORY / room).rglob(pattern))
    }
    assert not {path: size for path, size in sizes.items() if size > MAX_FILE_LINES and path not in LARGER}


def test_each_exception_still_needs_to_be_one() -> None:
    large = {
        name
        for file in FILES
        for name, function in functions_of(file)
        if parameters(function) > MAX_PARAMETERS or lines(function) > MAX_FUNCTION_LINES
    }
    large |= {
        file.relative_to(REPOSITORY).as_posix()
        for file in FILES
        if len(file.read_text("utf-8").splitlines()) > MAX_FILE_LINES
    }
    assert not LARGER.keys() - large
