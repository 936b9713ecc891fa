"""Days of sign-ins, at the seams between two dates (D1, D2)."""

from __future__ import annotations

from datetime import date

from tests.model.days import instant
from tests.model.events import paid, signed_in
from tests.model.program import program
from tests.unit.ledger_member import MemoryLedger

SIGN_IN = program(["purchase", "sign-in"])


def test_D1_an_entry_has_the_local_date_of_its_business_time() -> None:
    ledger = MemoryLedger(SIGN_IN)
    for event, arrives in (
        (signed_in("2026-03-01T15:59:59+00:00"), "2026-03-01T16:00:01+00:00"),  # a second before midnight in Shanghai
        (paid("o1", "2026-03-01T16:00:00+00:00", "100"), "2026-03-09T00:00:00+00:00"),  # midnight, told a week later
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
