"""What orders earn under programs that say more than the default one, with figures computed by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.ledger.api.explanation import says, sum_of
from services.ledger.domain.outcome import Reason
from services.ledger.domain.program import Programs, compile_program
from services.ledger.reads import EntryRow
from tests.model.days import instant
from tests.model.events import Event, completed, d, gift_card, line, paid, refunded
from tests.model.program import Program, program
from tests.model.result import Result
from tests.unit.ledger_member import MemoryLedger


def lead_to(given: Program | list[Program], *events: Event) -> Result:
    """Where events lead, each arriving as it happens, with the tiers that are told."""
    ledger = MemoryLedger(given, tiers="given")
    for event in events:
        now = instant(event["time"])
        ledger.tick(now)
        ledger.arrive(event, now)
    return ledger.result()


def entry(points: int) -> EntryRow:
    day = date(2026, 3, 1).toordinal()
    return EntryRow(1, 0, 0, day, "issued", "pending", points, day + 365, 0, "purchase", "/o1", 1)


# ── bands ────────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS: list[dict[str, Any]] = [
    {"upto": "200", "exclusive": True, "rate": "1"},
    {"upto": "800", "rate": "1.5"},
    {"rate": "2"},
]
MARGINAL = program(["purchase"], rule={"purchase": {"bands": {"mode": "marginal", "steps": STEPS}}})


@pytest.mark.parametrize(
    ("amount", "points"),
    [
        ("199.99", 199),
        ("200", 200),
        ("200.67", 201),  # 200 + 0.67 x 1.5 = 201.005
        ("800", 1100),  # 200 + 600 x 1.5
        ("801", 1102),  # 200 + 900 + 1 x 2
    ],
)
def test_N1_marginal_bands_earn_each_part_at_its_own_step(amount: str, points: int) -> None:
    assert lead_to(MARGINAL, paid("o1", d(1), amount), completed("o1", d(5))).available == points


def test_R1_a_refund_from_marginal_bands_takes_what_the_topmost_part_earned() -> None:
    # 1,300 on 900; on 700: 200 + 750 = 950.
    assert lead_to(MARGINAL, paid("o1", d(1), "900"), completed("o1", d(2)), refunded("o1", d(3), "200")).earned == 950


def test_O8_a_completed_line_confirms_its_share_of_what_marginal_bands_give() -> None:
    bought = [line("l1", "300"), line("l2", "600")]
    partly = lead_to(MARGINAL, paid("o1", d(1), bought), completed("o1", d(2), [{"line_id": "l1"}]))
    assert (partly.available, partly.pending) == (433, 867)  # 1,300 x 300 / 900 = 433.33


def test_N4_a_sum_in_marginal_bands_is_explained_as_it_was_made() -> None:
    compiled = compile_program(1, MARGINAL)
    reason = Reason("purchase", 1, "none", 80_100, 1102)
    assert sum_of(reason, Programs([compiled]))["exact"] == "1102"
    assert "earns points step by step, 2 a unit in the last: 1102;" in says(entry(1102), compiled, reason)


# ── the value of points used ─────────────────────────────────────────────────────────────────────────────────────────

OFFSET = {"cash_offset": {"points_per_unit": 100, "exclude": {"categories": ["gift-card"]}}}


@pytest.mark.parametrize(
    ("redeem", "value", "earned"),
    [
        (OFFSET, None, 1620),  # 9,000 points are worth 90: (900 - 90) x 2
        (OFFSET, "0", 1800),  # told to be worth nothing
        (OFFSET, "99", 1602),  # told to be worth more
        ({"cash_offset": {"points_per_unit": 700}}, None, 1774),  # 12.857.. is 12.85: 887.15 x 2 = 1774.3
        (None, None, 1800),  # no word on what points are worth
    ],
)
def test_P1_points_used_without_a_value_are_worth_what_the_program_says(
    redeem: dict[str, Any] | None, value: str | None, earned: int
) -> None:
    given = program(["purchase"], redeem=redeem)
    used = paid("o1", d(1), "900", points_used=9000, points_value=value)
    assert lead_to(given, used, completed("o1", d(2))).earned == earned


def test_P2_the_value_that_the_program_gives_is_apportioned_like_one_told() -> None:
    given = program(["purchase"], redeem=OFFSET)
    bought = [line("l1", "50"), gift_card("l2", "50")]
    told = lead_to(given, paid("o1", d(1), bought, points_used=100), completed("o1", d(2)))
    assert told.orders["o1"].timeline[0][1] == 4900  # all of the 1.00 on the line that points can pay for
