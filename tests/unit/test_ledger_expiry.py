"""The last days of points that end on fixed dates, counted by hand (E1 to E7)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.kit.calendar import NEVER, Day, day_from
from services.ledger.domain.program.program import compile_program
from tests.model.days import instant
from tests.model.events import Event, completed, d, paid, profile, signed_in
from tests.model.program import Program, program
from tests.unit.ledger_member import MemoryLedger


def with_dates(*dates: str, rules: tuple[str, ...] = ("purchase", "sign-in"), **expiry: Any) -> Program:
    return program(rules, points={"expiry": {"kind": "fixed_dates", "dates": list(dates), **expiry}})


def last_day(document: Program, day: str, *, order: bool = False) -> str:
    """The last day of what is awarded on a local date."""
    compiled, on = compile_program(1, document), day_from(date.fromisoformat(day))
    return date.fromordinal(compiled.order_lot_day(on) if order else compiled.lot_day(on)).isoformat()


@pytest.mark.parametrize(
    ("day", "ends"),
    [
        ("2026-01-01", "2026-06-30"),
        ("2026-06-30", "2026-06-30"),
        ("2026-07-01", "2026-12-31"),
        ("2026-12-31", "2026-12-31"),
        ("2027-01-01", "2027-06-30"),
    ],
)
def test_E7_an_award_ends_on_the_first_of_the_dates_that_is_not_before_it(day: str, ends: str) -> None:
    assert last_day(with_dates("12-31", "06-30"), day) == ends


def test_E4_29_february_is_the_28th_in_common_years() -> None:
    document = with_dates("02-29")
    assert last_day(document, "2027-03-01") == "2028-02-29"
    assert last_day(document, "2026-03-01") == "2027-02-28"
    assert last_day(document, "2027-02-28") == "2027-02-28"


def test_E7_an_order_lives_at_least_as_long_as_the_program_says() -> None:
    document = with_dates("12-31", min_life_days=30)
    assert last_day(document, "2026-11-16", order=True) == "2026-12-31"  # 16 November + 15 + 30 days
    assert last_day(document, "2026-11-17", order=True) == "2027-01-01"
    assert last_day(document, "2026-11-17") == "2026-12-31"
    assert last_day(with_dates("12-31"), "2026-12-20", order=True) == "2027-01-04"  # 15 days until it confirms


def test_what_never_expires_has_no_last_day() -> None:
    compiled = compile_program(1, program(["purchase"], points={"expiry": {"kind": "none"}}))
    assert compiled.lot_day(Day(700_000)) == compiled.order_lot_day(Day(700_000)) == NEVER


def ledger_after(document: Program | list[Program], *events: Event, until: str) -> MemoryLedger:
    ledger = MemoryLedger(document, tiers="received")
    for event in events:
        now = instant(event["time"])
        ledger.tick(now)
        ledger.arrive(event, now)
    ledger.tick(instant(until))
    return ledger


def test_E1_points_are_there_until_the_end_of_their_date() -> None:
    events = [signed_in(d(1)), signed_in(d(5))]
    document = with_dates("03-31")
    assert ledger_after(document, *events, until=d(31, "23:59:59.999999")).account.available == 10
    after = ledger_after(document, *events, until=d(32, "00:00")).account
    assert (after.available, after.expired) == (0, 10)


def test_E6_what_ends_first_is_spent_first_though_it_came_last() -> None:
    document = with_dates("03-31", "06-30", min_life_days=30)
    bought = [paid("o1", d(20), "10"), completed("o1", d(21))]  # 15 + 30 days: 4 May
    spent = paid("o2", d(23), "90", points_used=4, points_value="0.04")
    ledger = ledger_after(document, *bought, signed_in(d(22)), spent, until=d(24))
    lots = {date.fromordinal(day).isoformat(): columns[1] for (day, _), columns in ledger.lots.items()}
    assert lots["2026-03-31"] == 1
    assert lots["2026-05-04"] == 10


def test_E5_a_new_version_moves_no_lot_that_was_granted() -> None:
    first = with_dates("03-31")
    second = with_dates("12-31") | {"version": "2026.2", "effective_from": d(3, "00:00")}
    ledger = ledger_after([first, second], signed_in(d(1)), signed_in(d(4)), profile(d(5), name="Li Lei"), until=d(6))
    lots = {date.fromordinal(day).isoformat(): columns[1] for (day, _), columns in ledger.lots.items()}
    assert lots == {"2026-03-31": 5, "2026-12-31": 5}
