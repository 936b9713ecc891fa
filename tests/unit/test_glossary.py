"""The glossary is held to the code: what it names exists, and what the ledger stores is in it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from typing import NamedTuple

import pytest

from schemas.events import EVENT_TYPES
from tests.conftest import REPOSITORY, SERVICES
from tests.unit.test_docs import names_of

PAGE = REPOSITORY / "docs" / "glossary.md"
STATE = REPOSITORY / "services" / "ledger" / "domain" / "state"
ROW = re.compile(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
NAMES_IN_FILE = re.compile(r"((?:`\w+`(?:, | and )?)+) in \[[^\]]+\]\(([^)]+)\)")
TABLE = re.compile(rf"`((?:{'|'.join(SERVICES)})\.\w+)`")
EVENT = re.compile(r"`((?:commerce|loyalty|notify)\.[\w.]+\.v\d+)`")
CREATED = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)

# The terms of the course material that the code has.
MATERIAL = re.findall(
    r"\S+",
    """
    固定换算 多级换算 会员等级积分 额外奖励积分 首次购物 完善个人信息 每日签到 收藏 游戏互动 评价 入会专享礼
    积分兑换 抵现 积分商城 免费升级 有针对的激励机制 亲友共享 推荐 开放型 会员层级 升级模式 成长值 会员政策
    触点 传播方式 确认收货
    """,
)


class Term(NamedTuple):
    """A row of the page."""

    term: str
    chinese: str
    sentence: str
    carried_by: str


def areas() -> list[list[Term]]:
    """The rows of each table of the page."""
    sections = PAGE.read_text("utf-8").split("\n## ")[1:]
    return [
        [Term(*row) for row in ROW.findall(section) if row[0] != "term" and "---" not in row[0]] for section in sections
    ]


TERMS = [term for area in areas() for term in area]


def tables(service: str) -> set[str]:
    """The tables that the migrations of a service, or of the kit, make."""
    folder = REPOSITORY / "services" / service / "migrations"
    return {name for path in folder.glob("*.sql") for name in CREATED.findall(path.read_text("utf-8"))}


def test_terms_are_sorted_in_their_area_and_stand_once() -> None:
    for area in areas():
        assert area
        assert [term.term for term in area] == sorted((term.term for term in area), key=str.casefold)
    assert [term for term, times in Counter(term.term for term in TERMS).items() if times > 1] == []
    assert [word for word, times in Counter(term.chinese for term in TERMS).items() if times > 1] == []


def test_the_terms_of_the_material_are_there() -> None:
    assert set(MATERIAL) - {term.chinese for term in TERMS} == set()


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.term)
def test_a_term_is_one_sentence_and_is_carried_by_what_exists(term: Term) -> None:
    assert re.fullmatch(r"[\u4e00-\u9fff]+", term.chinese)
    assert term.sentence.endswith(".")
    assert ". " not in term.sentence
    carriers = 0
    for names, link in NAMES_IN_FILE.findall(term.carried_by):
        defined = set(names_of((PAGE.parent / link).resolve()))
        wanted = re.findall(r"`(\w+)`", names)
        assert set(wanted) <= defined, link
        carriers += len(wanted)
    for table in TABLE.findall(term.carried_by):
        service, _, name = table.partition(".")
        assert name in tables(service) | tables("kit"), table
        carriers += 1
    for kind in EVENT.findall(term.carried_by):
        assert kind in EVENT_TYPES, kind
        carriers += 1
    assert carriers == term.carried_by.count("`") // 2, "each name is a type in a file, a table or an event"
    assert carriers


def test_every_public_class_of_what_the_ledger_stores_is_in_a_row() -> None:
    classes = {
        f"{node.name} in {path.name}"
        for path in STATE.glob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    named = {
        f"{name} in {link.rpartition('/')[2]}"
        for term in TERMS
        for names, link in NAMES_IN_FILE.findall(term.carried_by)
        for name in re.findall(r"`(\w+)`", names)
    }
    assert classes - named == set()


def test_every_table_is_in_a_row() -> None:
    named = {table for term in TERMS for table in TABLE.findall(term.carried_by)}
    own = {f"{service}.{name}" for service in SERVICES for name in tables(service)}
    assert own | {f"ledger.{name}" for name in tables("kit")} == named
