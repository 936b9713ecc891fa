"""Explanations of entries: exact numbers, sentences, and how an entry changed the balance (N4)."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from schemas import program
from services.ledger.api.entries import balance_changes
from services.ledger.api.explanation import describe, exact_string, sum_json
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.domain.state.outcome import AwardReason
from services.ledger.reads.rows import EntryRow
from tests.conftest import REPOSITORY

DOCUMENT = program.load((REPOSITORY / "deploy" / "program.yaml").read_text("utf-8")).document()
PROGRAMS = ProgramVersions([compile_program(1, DOCUMENT)])
PROGRAM = PROGRAMS.by_number[1]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Fraction(1), "1"),
        (Fraction(3, 2), "1.5"),
        (Fraction(219_989, 1000), "219.989"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(4, 3), "4/3"),
        (Fraction(1, 1000), "0.001"),
    ],
)
def test_exact_numbers_are_written_without_floats(number: Fraction, text: str) -> None:
    assert exact_string(number) == text


def entry(debit: str, credit: str, points: int, *, rule: str = "purchase", lot_day: str = "2027-03-01") -> EntryRow:
    day = date(2026, 3, 1).toordinal()
    last = date.fromisoformat(lot_day).toordinal() if lot_day else 0
    return EntryRow(3, 1, 0, day, debit, credit, points, last, 0, rule, "/o1", 1)  # type: ignore[arg-type]


def test_N4_an_entry_is_explained_in_a_sentence() -> None:
    reason = AwardReason("purchase", 1, "vip", 80_001, 1920)
    assert describe(entry("issued", "pending", 1920), PROGRAM, reason) == (
        "1920 points will be spendable once the order is completed, for order o1 on 2026-03-01: rule purchase of "
        "program 2026.1. The eligible part of the order, 800.01 CNY, earns 2 points a unit: 800.01 × 2 × 1.2 for tier "
        "vip = 1920.024, rounded (floor) to 1920; this entry is what that changed. They can be spent until the end of "
        "2027-03-01."
    )
    owed = entry("debt", "issued", 50, lot_day="")
    assert "were not there to be taken back, and are owed" in describe(owed, PROGRAM, None)
    nothing = AwardReason("purchase", 1, "none", 0, 0)
    assert "earns nothing" in describe(entry("pending", "issued", 5), PROGRAM, nothing)
    assert sum_json(nothing, PROGRAMS)["points"] == 0


def test_N9_points_for_each_full_amount_are_explained() -> None:
    """9.90 is three times full of 2.50: 3 x 5, times 1.1 for a senior member, rounded once."""
    purchase = {"rule": "tea", "on": "order", "each_full": "2.50", "points": 5, "tier_multiplier": {"senior": "1.1"}}
    compiled = compile_program(1, DOCUMENT | {"earn": [purchase]})
    reason = AwardReason("tea", 1, "senior", 990, 16)
    assert (
        "The eligible part of the order, 9.90 CNY, earns 5 points for each full 2.50, 3 times × 1.1 for tier senior: "
        "16.5, rounded (floor) to 16;" in describe(entry("issued", "pending", 16, rule="tea"), compiled, reason)
    )
    shown = sum_json(reason, ProgramVersions([compiled]))
    assert (shown["each_full"], shown["band"]["rate"], shown["exact"]) == ("2.50", "2", "16.5")


def test_a_change_says_what_a_member_sees() -> None:
    assert balance_changes(entry("pending", "available", 7)) == {"pending": -7, "available": 7}
    assert balance_changes(entry("available", "debt", 7)) == {"available": -7, "debt": -7}
    assert balance_changes(entry("debt", "issued", 7)) == {"debt": 7}
    assert balance_changes(entry("available", "expired", 7)) == {"available": -7}
