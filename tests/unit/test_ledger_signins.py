"""Sign-ins at the seams between two dates (D1, D2), and missed days that are bought for the streak (D4)."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.kit.calendar import Day
from services.ledger.answers import answer_of
from services.ledger.domain.state.inputs import RepairStreak
from tests.model.days import instant
from tests.model.events import d, paid, signed_in
from tests.model.program import Program, program
from tests.unit.ledger_member import MemoryLedger

SIGN_IN = program(["purchase", "sign-in"])
MARCH_1 = date(2026, 3, 1).toordinal()


def test_D1_an_entry_has_the_local_date_of_its_business_time() -> None:
    ledger = MemoryLedger(SIGN_IN)
    for event, arrives in (
        (signed_in("2026-03-01T15:59:59+00:00"), "2026-03-01T16:00:01+00:00"),  # a second before midnight in Shanghai
        (paid("o1", "2026-03-01T16:00:00+00:00", "100"), "2026-03-09T00:00:00+00:00"),  # midnight, a week late
    ):
        ledger.arrive(event, instant(arrives))
    days = [date.fromordinal(entry.day).isoformat() for row in ledger.journal for entry in row.outcome.entries]
    assert days == ["2026-03-01", "2026-03-02"]


def test_D2_a_date_is_rewarded_once_however_often_and_late_it_is_told() -> None:
    ledger = MemoryLedger(SIGN_IN)
    times = ("2026-03-02T10:00:00+08:00", "2026-03-02T00:00:00+08:00", "2026-03-02T23:59:59+08:00")
    for at in times:
        ledger.arrive(signed_in(at), instant("2026-03-20T10:00:00+08:00"))
    ledger.arrive(signed_in("2026-03-03T00:00:00+08:00"), instant("2026-03-20T10:00:00+08:00"))
    assert [row.outcome.kind for row in ledger.journal] == ["booked", "known", "known", "booked"]
    assert ledger.result().earned == 10


def with_repair(**sign_in: Any) -> Program:
    document = {"streak": {3: 10, 7: 30}, "make_up": {"cost": 8, "within_days": 3}} | sign_in
    return program(["sign-in"], rule={"sign-in": document})


def signed_in_on(document: Program, *days: int) -> MemoryLedger:
    """The ledger of a member who signed in on these days of March, at 10:00."""
    ledger = MemoryLedger(document, tiers="received")
    for day in days:
        ledger.tick(instant(d(day)))
        ledger.arrive(signed_in(d(day)), instant(d(day)))
    return ledger


def buy(ledger: MemoryLedger, day: int, at: str) -> str:
    """Buy a day of March; what became of it."""
    now = instant(at)
    ledger.tick(now)
    return ledger.do(RepairStreak("shop", f"{day}:{at}", now, Day(MARCH_1 + day - 1)), now)


def test_D4_a_bought_day_mends_the_streak_and_costs_its_price() -> None:
    ledger = signed_in_on(with_repair(), 1, 2, 4)  # 15 points
    assert buy(ledger, 3, d(4, "12:00")) == "booked"
    # 15 - 8 + 10 for the third day in a row; the bought day itself has no daily 5.
    assert ledger.account.available == 17
    assert [(entry.kind, entry.points, entry.rule, entry.ref) for entry in ledger.journal[-1].outcome.entries] == [
        ("redeemed", 5, "make-up", "made-up:2026-03-03"),  # of the lot of 1 March, which ends first
        ("redeemed", 3, "make-up", "made-up:2026-03-03"),
        ("earned", 10, "sign-in", "streak:2026-03-03"),
    ]
    ledger.arrive(signed_in(d(5)), instant(d(5)))
    ledger.arrive(signed_in(d(6)), instant(d(6)))
    ledger.arrive(signed_in(d(7)), instant(d(7)))
    assert ledger.account.available == 17 + 15 + 30


def test_D4_a_missed_day_is_bought_once() -> None:
    ledger = signed_in_on(with_repair(), 1, 2, 4)
    assert buy(ledger, 3, d(4, "12:00")) == "booked"
    assert buy(ledger, 3, d(4, "12:01")) == "day_not_missed"
    assert buy(ledger, 2, d(4, "12:02")) == "day_not_missed"


@pytest.mark.parametrize(
    ("day", "at", "expected"),
    [
        (3, d(6, "23:59"), "booked"),  # three days ago
        (3, d(7, "00:00"), "day_out_of_reach"),
        (4, d(4, "12:00"), "day_out_of_reach"),  # today is not missed yet
        (5, d(4, "12:00"), "day_out_of_reach"),
    ],
)
def test_D4_a_day_can_be_bought_from_the_next_local_date_on_for_so_many_days(day: int, at: str, expected: str) -> None:
    ledger = signed_in_on(with_repair(), 1, 2)
    before = ledger.account.available
    assert buy(ledger, day, at) == expected
    assert ledger.account.available == (before if expected != "booked" else before - 8 + 10)


def test_D4_without_the_points_or_the_offer_nothing_changes() -> None:
    poor = signed_in_on(with_repair(make_up={"cost": 11, "within_days": 3}), 1, 2)
    assert buy(poor, 3, d(4)) == "insufficient_points"
    assert poor.account.available == 10
    assert buy(signed_in_on(program(["sign-in"]), 1, 2), 3, d(4)) == "make_up_not_offered"


def test_D4_a_sign_in_told_late_of_a_bought_day_has_its_daily_reward_once() -> None:
    ledger = signed_in_on(with_repair(), 1, 2, 4)
    buy(ledger, 3, d(4, "12:00"))
    assert ledger.arrive(signed_in(d(3)), instant(d(5))) == "booked"
    assert ledger.account.available == 22
    assert ledger.arrive(signed_in(d(3, "11:00")), instant(d(5, "11:00"))) == "known"
    assert buy(ledger, 3, d(5, "12:00")) == "day_not_missed"


def test_a_bought_day_is_answered_with_the_balance_after_it() -> None:
    ledger = signed_in_on(with_repair(), 1, 2, 4)
    buy(ledger, 3, d(4, "12:00"))
    answer = answer_of("m1", ledger.journal[-1])
    assert answer.status == 201
    assert b'"day":"2026-03-03"' in answer.body
    assert b'"available":17' in answer.body
    buy(ledger, 3, d(4, "12:01"))
    refused = answer_of("m1", ledger.journal[-1])
    assert refused.status == 409
    assert b"day-not-missed" in refused.body
