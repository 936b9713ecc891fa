"""Each rule that is built is named by a test, and by the code that has the file name of its cases."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

from schemas.program.built import NOT_BUILT
from services.ledger.store import SQL
from tests.conftest import REPOSITORY
from tests.rules import RULES, listing, named_by_tests

DOMAIN = REPOSITORY / "services" / "ledger" / "domain"
ROOMS = ("rules", "posting", "program")
TABLE = sorted({file.stem for file in (REPOSITORY / "tests/model/table").glob("*.py")} - {"__init__", "case"})
SQL_NAMES = re.compile(r"^SQL: (.*)\.$", re.MULTILINE)
CODES = re.compile(r"(?<![A-Za-z0-9])([A-Z])(\d{1,2})(?: to \1(\d{1,2}))?(?![A-Za-z0-9])")

OF_THE_WHOLE = {"disorder": "repetition, order of arrival and batches concern every rule, and no file of its own"}
"""Files of the table without a file of code, and why."""

WITHOUT_CODE = {
    "R2": "it follows from R1: a refund books the difference to what all refunds together leave",
    "R4": "it follows from N5: what earns nothing is not among the eligible lines",
    "E5": "nothing moves the day of a granted lot, so there is nothing to name",
    "T2": "tiering decides it (services/tiering/domain); the ledger receives the tier history",
    "T3": "tiering decides it (services/tiering/domain); the ledger receives the tier history",
    "T9": "tiering decides it (services/tiering/domain); the ledger receives the tier history",
}
"""Rules with cases that no docstring beside them has to name, and why."""


def test_every_rule_that_is_built_is_named_by_a_test_and_no_other() -> None:
    named = named_by_tests()
    assert not named.keys() - RULES.keys(), "a test names a rule that there is not"
    print(*listing(), sep="\n")
    assert not [code for code, rule in RULES.items() if rule.is_tested and not named[code]], "built, without a test"
    assert not [code for code, rule in RULES.items() if not rule.is_tested and named[code]], "tested, and not built?"


@pytest.mark.parametrize("code", [code for code, rule in RULES.items() if rule.option])
def test_what_a_rule_lacks_a_program_cannot_ask_for(code: str) -> None:
    assert RULES[code].option in {row.path for row in NOT_BUILT}, "it is built: say so in the list of rules"


def code_files(name: str) -> list[Path]:
    """The files of rules/, posting/ and program/ with this name."""
    return [file for room in ROOMS if (file := DOMAIN / room / f"{name}.py").exists()]


def codes_in_docstrings(file: Path) -> set[str]:
    """The rules that a file's docstrings name; `D1 to D5` are five."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for letter, first, last in CODES.findall(node.value.value):
                found |= {f"{letter}{number}" for number in range(int(first), int(last or first) + 1)}
    return found


@pytest.mark.parametrize("name", [name for name in TABLE if name not in OF_THE_WHOLE])
def test_cases_are_in_the_file_that_is_named_as_their_code(name: str) -> None:
    files = code_files(name)
    assert files, f"no {name}.py in any of {ROOMS}"
    cases = import_module(f"tests.model.table.{name}").CASES
    named = {code for file in files for code in codes_in_docstrings(file)}
    assert not {case.code for case in cases} - named - set(WITHOUT_CODE), "no docstring of the code names these rules"


@pytest.mark.parametrize("room", ROOMS)
def test_the_sql_that_a_rule_names_is_a_statement_of_the_write_path(room: str) -> None:
    named = {
        name
        for file in (DOMAIN / room).glob("*.py")
        for names in SQL_NAMES.findall(ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "")
        for name in names.replace("`", "").split(", ")
    }
    assert named or room == "program"
    assert named <= set(SQL.names())
