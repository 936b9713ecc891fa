"""The pages for people say what is there: files, names, figures, commands, metrics, settings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from schemas.events import RefusalReason
from schemas.topics import ALL
from services.kit.metrics import MetricName
from services.kit.topics import TopicSettings
from services.ledger.settings import LedgerSettings
from services.notifier.settings import NotifierSettings
from services.tiering.settings import TieringSettings
from tests.conftest import REPOSITORY
from tests.model.days import instant
from tests.model.events import completed, d, paid, refunded, registered
from tests.model.program import DEFAULT
from tests.unit.ledger_member import MemoryLedger

DOCS = REPOSITORY / "docs"
GENERATED = DOCS / "reference"
PAGES = sorted(
    page
    for page in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md"))
    if not page.is_relative_to(GENERATED)
)
NAME_IN_FILE = re.compile(r"`(\w+)`\s+in\s+\[[^\]]*\]\(([^)#]+)\)")
LINK = re.compile(r"\]\(([^)\s]+)\)")
TARGET = re.compile(r"(?:`|^)make ([a-z]+)", re.MULTILINE)
TOPIC = re.compile(r"`((?:commerce|loyalty|notify)\.[a-z_]+\.v1)`")
SETTING = re.compile(r"`([A-Z][A-Z_]{3,})(?:=[^`]*)?`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for link in LINK.findall(page.read_text("utf-8")):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_is_defined_in_the_file_that_is_said_to_have_it(page: Path) -> None:
    for name, link in NAME_IN_FILE.findall(page.read_text("utf-8")):
        assert name in set(names_of((page.parent / link).resolve())), f"{name} in {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_topic_and_setting_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(TARGET.findall(text)) <= targets
    assert set(TOPIC.findall(text)) <= {topic.name for topic in ALL} | {kind for topic in ALL for kind in topic.types}
    read = (LedgerSettings, TieringSettings, NotifierSettings, TopicSettings)
    fields = {name for each in read for name in each.model_fields}
    settings = SETTING.findall(NAME_IN_FILE.sub("", text))
    assert {name.lower() for name in settings} <= fields | OUTSIDE_SETTINGS


OUTSIDE_SETTINGS = {
    "commit",
    "dead_letter_limit",
    "missing",
    "oauthbearer",
    "redeem",
    "sasl_plaintext",
    "sasl_ssl",
    "shop_token",
}
"""Words in capitals that no service reads from its environment; `DEAD_LETTER_LIMIT` is what one was called before."""


def test_the_tour_names_enough_to_be_a_tour() -> None:
    assert len(NAME_IN_FILE.findall((DOCS / "tour.md").read_text("utf-8"))) > 40


def test_the_figures_of_the_tour_are_what_the_fold_makes() -> None:
    rows = re.findall(r"^\| [a-z]+.*? \| (\d+) \| (\d+) \|", (DOCS / "tour.md").read_text("utf-8"), re.MULTILINE)
    ledger = MemoryLedger(DEFAULT)
    made = []
    for event in (
        registered(d(0, "09:00")),
        paid("o1", d(0), "900"),
        completed("o1", d(0, "18:00")),
        refunded("o1", d(1), "200", refund="r1"),
        refunded("o1", d(2), "550", refund="r2"),
        refunded("o1", d(3), "150", refund="r3"),
    ):
        ledger.arrive(event, instant(event["time"]))
        made.append((str(ledger.result().available), str(ledger.result().pending)))
    assert rows == made


def test_the_reference_explains_every_reason_of_a_refusal() -> None:
    _, _, table = (GENERATED / "events.md").read_text("utf-8").partition("| reason | meaning |")
    rows = re.findall(r"^\| `(\w+)` \| *(.*?) *\|$", table.partition("\n\n")[0], re.MULTILINE)
    assert [name for name, _ in rows] == [str(reason) for reason in RefusalReason]
    assert all(meaning for _, meaning in rows)


def test_the_runbook_explains_every_metric_and_no_other() -> None:
    _, _, table = (DOCS / "runbook.md").read_text("utf-8").partition("| name | labels | means |")
    rows = re.findall(r"^\| `([a-z_]+)`", table.partition("\n\n")[0], re.MULTILINE)
    assert sorted(rows) == sorted(get_args(MetricName))


def names_of(file: Path) -> Iterator[str]:
    """What a module defines, at any depth: functions, classes, constants."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Tuple(elts=names)]):
                yield from (name.id for name in names if isinstance(name, ast.Name))
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case _:
                pass
