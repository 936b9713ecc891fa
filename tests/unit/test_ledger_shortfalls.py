"""What becomes of clawbacks that find too little: owed, written off, or under review (R2, R6, R7)."""

from __future__ import annotations

import pytest

from services.kit.calendar import NOT_YET
from services.kit.kafka import Shard
from services.ledger.answers import answer_of
from services.ledger.api.explanation import describe
from services.ledger.domain.state.inputs import DecideShortfall
from services.ledger.events.outbound import render_facts
from services.ledger.reads.rows import EntryRow
from tests.model.days import instant
from tests.model.events import Event, cancelled, completed, d, paid, refunded
from tests.model.program import program
from tests.unit.ledger_member import MemoryLedger

# 1,800 points of o1, 500 of them spent on o2, which earns 100.
SPENT = [
    paid("o1", d(1), "900"),
    completed("o1", d(2)),
    paid("o2", d(3), "105", points_used=500, points_value="5.00"),
    completed("o2", d(4)),
]
GONE = cancelled("o1", d(5))


def ledger_after(negative: str, *events: Event) -> MemoryLedger:
    ledger = MemoryLedger(program(["purchase"], points={"negative": negative}), tiers="received")
    for event in events:
        now = instant(event["time"])
        ledger.tick(now)
        ledger.arrive(event, now)
    return ledger


def decide(ledger: MemoryLedger, write_off: bool, *, ref: str = "/o1", at: str = d(6)) -> str:
    return ledger.do(DecideShortfall("auditor", at, instant(at), ref, write_off), instant(at))


def moved(ledger: MemoryLedger) -> list[tuple[str, str, int]]:
    return [(entry.debit, entry.credit, entry.points) for entry in ledger.journal[-1].outcome.entries]


def figures(ledger: MemoryLedger) -> tuple[int, int, int, int]:
    account = ledger.account
    return account.available, account.debt, account.written_off, account.earned


def test_R6_debt_owes_what_a_clawback_does_not_find() -> None:
    # 1,300 of o1 and 100 of o2 are there; 1,800 are to be taken.
    assert figures(ledger_after("debt", *SPENT, GONE)) == (0, 400, 0, 100)


def test_R6_clamp_writes_it_off() -> None:
    ledger = ledger_after("clamp", *SPENT, GONE)
    assert figures(ledger) == (0, 0, -400, 100)
    assert moved(ledger)[-1] == ("written_off", "issued", 400)
    assert not ledger.account.details.debts


def test_R6_clamp_leaves_the_next_points_to_the_member() -> None:
    again = [paid("o3", d(6), "100"), completed("o3", d(7))]
    assert ledger_after("clamp", *SPENT, GONE, *again).account.available == 100
    assert ledger_after("debt", *SPENT, GONE, *again).account.available == 0


def test_R2_under_clamp_net_less_what_was_written_off_is_that_of_debt_however_refunds_are_split() -> None:
    parts = [refunded("o1", d(5 + number), "180", refund=f"r{number}") for number in range(5)]
    clamped, owed = ledger_after("clamp", *SPENT, *parts).account, ledger_after("debt", *SPENT, *parts).account
    assert clamped.available - clamped.debt + clamped.written_off == owed.available - owed.debt == -400


def test_R7_clamp_forgives_what_has_expired_before_it_writes_off() -> None:
    document = program(["purchase"], points={"negative": "clamp", "expiry": {"kind": "rolling", "months": 1}})
    ledger = MemoryLedger(document, tiers="received")
    for event in [*SPENT, cancelled("o1", d(60))]:
        ledger.tick(instant(event["time"]))
        ledger.arrive(event, instant(event["time"]))
    # 1,300 of o1 expired, and are forgiven; the 500 spent are not there any more.
    assert moved(ledger) == [("expired", "issued", 1300), ("written_off", "issued", 500)]


def test_P7_points_used_that_are_not_there_are_owed_also_where_clawbacks_are_written_off() -> None:
    ledger = ledger_after("clamp", paid("o1", d(1), "100", points_used=50, points_value="0.50"))
    assert (ledger.account.debt, ledger.account.written_off) == (50, 0)


def test_R6_a_clawback_is_told_with_what_was_written_off() -> None:
    ledger = ledger_after("clamp", *SPENT, GONE)
    events = render_facts(Shard(0), "m1", ledger.journal[-1], ledger.programs)
    [event] = [value for row in events if b"clawed_back" in (value := row.value or b"")]
    assert b'"from":{"available":1400,"written_off":400}' in event
    entry = ledger.journal[-1].outcome.entries[-1]
    row = EntryRow(
        1,
        0,
        NOT_YET,
        entry.day,
        entry.debit,
        entry.credit,
        entry.points,
        *entry.lot,
        entry.rule,
        entry.ref,
        entry.program,
    )
    assert "and are written off, for order o1" in describe(row, ledger.programs.by_number[1], None)


def test_R6_review_parks_the_shortfall_and_says_so() -> None:
    ledger = ledger_after("review", *SPENT, GONE)
    # Nothing is booked of the 400 yet.
    assert figures(ledger) == (0, 0, 0, 500)
    assert [(each.ref, each.points) for each in ledger.account.details.shortfalls] == [("/o1", 400)]
    assert ledger.journal[-1].outcome.alarms == ["clawback_under_review"]


@pytest.mark.parametrize(("write_off", "expected"), [(True, (0, 0, -400, 100)), (False, (0, 400, 0, 100))])
def test_R6_a_decision_ends_the_review_once(write_off: bool, expected: tuple[int, int, int, int]) -> None:
    ledger = ledger_after("review", *SPENT, GONE)
    assert decide(ledger, write_off) == "booked"
    assert figures(ledger) == expected
    assert {entry.rule for entry in ledger.journal[-1].outcome.entries} == {"clawback-review"}
    assert decide(ledger, write_off, at=d(7)) == "shortfall_unknown"
    assert figures(ledger) == expected
    assert answer_of("m1", ledger.journal[-1]).status == 404


def test_R6_what_is_taken_after_a_review_comes_out_of_what_the_member_has_by_then() -> None:
    ledger = ledger_after("review", *SPENT, GONE, paid("o3", d(6), "150"), completed("o3", d(7)))
    assert ledger.account.available == 150
    decide(ledger, write_off=False, at=d(8))
    assert figures(ledger) == (0, 250, 0, 250)
    assert moved(ledger) == [("available", "issued", 150), ("debt", "issued", 250)]


def test_R6_points_under_review_count_as_taken() -> None:
    first, second = refunded("o1", d(5), "800", refund="a"), refunded("o1", d(6), "100", refund="b")
    ledger = ledger_after("review", *SPENT, first, second)
    # 1,700 taken for the first (1,400 are there), 100 for the second: one shortfall of the order.
    assert [(each.ref, each.points) for each in ledger.account.details.shortfalls] == [("/o1", 400)]
    decide(ledger, write_off=False, at=d(8))
    assert figures(ledger) == figures(ledger_after("debt", *SPENT, first, second))


def test_another_shortfall_stays_under_review() -> None:
    ledger = ledger_after("review", *SPENT, GONE, cancelled("o2", d(6)))
    # The 500 points that o2 used come back; its own 100 are claimed from them.
    assert decide(ledger, write_off=True, ref="/o2", at=d(7)) == "shortfall_unknown"
    assert decide(ledger, write_off=True, at=d(7)) == "booked"
