"""The birthday rule, with dates counted by hand (B1, B2)."""

from __future__ import annotations

from typing import Any

import pytest

from services.kit.calendar import NOT_YET, Micros, calendar_of, parse_rfc3339
from services.ledger.domain.program.multipliers import Birthday, compile_multiplier
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.inputs import ProfileUpdated, decode_input, encode_input
from tests.model.days import instant
from tests.model.events import Event, completed, paid, profile, refunded, registered
from tests.model.program import Program, program
from tests.unit.ledger_member import MemoryLedger

CALENDAR = calendar_of("Asia/Shanghai")


def at(text: str) -> str:
    """A time in Shanghai: `2026-05-09 10:00`."""
    return f"{text.replace(' ', 'T')}:00+08:00"


def rule(when: str = "birthday_month", feb29: str = "feb28") -> dict[str, Any]:
    return {"rule": "birthday", "on": "order", "when": when, "multiplier": "2", "feb29": feb29}


def with_birthday(when: str = "birthday_month", feb29: str = "feb28") -> Program:
    made = program(["purchase"])
    made["earn"] = [*made["earn"], rule(when, feb29)]
    return made


def holds(paid_at: str, *ledger_after: tuple[str, int], when: str = "birthday_month", feb29: str = "feb28") -> bool:
    """Whether an order paid at a time meets the rule, of a member who entered these birthdays."""
    made = compile_multiplier(rule(when, feb29), CALENDAR)
    assert isinstance(made, Birthday)
    return made.holds(parse_rfc3339(at(paid_at)), "", [(parse_rfc3339(at(time)), day) for time, day in ledger_after])


LONG_AGO = "2020-01-01 00:00"


@pytest.mark.parametrize(
    ("paid_at", "when", "expected"),
    [
        ("2026-04-30 23:59", "birthday_month", False),
        ("2026-05-01 00:00", "birthday_month", True),
        ("2026-05-31 23:59", "birthday_month", True),
        ("2026-06-01 00:00", "birthday_month", False),
        ("2026-05-08 23:59", "birthday", False),
        ("2026-05-09 00:00", "birthday", True),
        ("2026-05-09 23:59", "birthday", True),
        ("2026-05-10 00:00", "birthday", False),
        ("2027-05-09 12:00", "birthday", True),
    ],
)
def test_B2_a_birthday_comes_once_a_year_on_local_dates(paid_at: str, when: str, expected: bool) -> None:
    assert holds(paid_at, (LONG_AGO, 509), when=when) is expected


@pytest.mark.parametrize(
    ("paid_at", "feb29", "expected"),
    [
        ("2026-02-28 12:00", "feb28", True),
        ("2026-03-01 12:00", "feb28", False),
        ("2026-02-28 12:00", "mar1", False),
        ("2026-03-01 12:00", "mar1", True),
        ("2028-02-28 12:00", "feb28", False),
        ("2028-02-29 12:00", "feb28", True),
        ("2028-02-29 12:00", "mar1", True),
        ("2028-03-01 12:00", "mar1", False),
        ("2100-02-28 12:00", "feb28", True),  # no leap year
    ],
)
def test_B1_29_february_is_kept_as_the_program_says_in_common_years(paid_at: str, feb29: str, expected: bool) -> None:
    assert holds(paid_at, (LONG_AGO, 229), when="birthday", feb29=feb29) is expected


def test_B1_the_month_of_29_february_is_that_of_the_day_on_which_it_is_kept() -> None:
    assert holds("2026-03-31 12:00", (LONG_AGO, 229), feb29="mar1")
    assert not holds("2026-02-28 12:00", (LONG_AGO, 229), feb29="mar1")


def test_B2_a_birthday_entered_less_than_30_days_before_does_not_count_that_year() -> None:
    assert holds("2026-05-09 12:00", ("2026-04-09 23:59", 509))  # 30 days before
    assert not holds("2026-05-09 12:00", ("2026-04-10 00:00", 509))  # 29 days
    assert holds("2027-05-09 12:00", ("2026-04-10 00:00", 509))
    assert not holds("2026-05-20 12:00", ("2026-05-15 00:00", 509))  # after it


def test_B2_a_changed_birthday_gives_no_second_one() -> None:
    may, august = (LONG_AGO, 509), ("2026-06-01 00:00", 820)
    assert holds("2026-05-20 12:00", may, august)
    assert not holds("2026-08-20 12:00", may, august)
    assert holds("2027-08-20 12:00", may, august)
    assert not holds("2027-05-20 12:00", may, august)


def test_B2_a_birthday_changed_before_it_came_moves() -> None:
    may, august = (LONG_AGO, 509), ("2026-04-30 23:59", 820)
    assert not holds("2026-05-20 12:00", may, august)
    assert holds("2026-08-20 12:00", may, august)
    # The month has begun: that was this year's.
    assert not holds("2026-08-20 12:00", may, ("2026-05-01 00:01", 820))
    assert holds("2026-08-20 12:00", may, ("2026-05-01 00:01", 820), when="birthday")


def test_B2_an_old_birthday_that_did_not_count_leaves_the_year_to_the_new_one() -> None:
    too_late, august = ("2026-05-01 00:00", 509), ("2026-06-01 00:00", 820)
    assert holds("2026-08-20 12:00", too_late, august)


def test_B2_a_birthday_deleted_is_none_and_told_again_the_same_one() -> None:
    ledger_after, deleted, again = (LONG_AGO, 509), ("2026-03-01 00:00", 0), ("2026-03-02 00:00", 509)
    assert not holds("2026-05-20 12:00", ledger_after, deleted)
    assert holds("2026-05-20 12:00", ledger_after, deleted, again)


def ledger_after(document: Program, *events: Event) -> MemoryLedger:
    """The ledger after events, each arriving as it stands in the list."""
    ledger, now = MemoryLedger(document, tiers="received"), NOT_YET
    for event in events:
        now = max(now, instant(event["time"]))
        ledger.tick(now)
        ledger.arrive(event, now)
    return ledger


BORN = registered(at("2026-01-01 10:00"), birthday="1990-05-09")
BOUGHT = [paid("o1", at("2026-05-20 10:00"), "100"), completed("o1", at("2026-05-21 10:00"))]


def test_B2_an_order_of_the_birthday_month_earns_its_multiple() -> None:
    ledger = ledger_after(with_birthday(), BORN, *BOUGHT)
    assert ledger.account.available == 200
    assert ledger.journal[-1].outcome.reasons[0].multipliers == ("birthday",)


def test_B2_orders_are_trued_up_when_the_birthday_comes_after_them() -> None:
    ledger = ledger_after(with_birthday(), *BOUGHT, BORN)
    [entry] = ledger.journal[-1].outcome.entries
    assert (entry.rule, entry.ref, entry.points, ledger.account.available) == ("birthday-true-up", "/o1", 100, 200)
    assert ledger_after(with_birthday(), BOUGHT[0], BORN, BOUGHT[1]).account.available == 200


def test_B2_an_order_keeps_the_birthday_that_was_known_when_it_was_paid() -> None:
    changed = profile(at("2026-05-25 10:00"), birthday="1990-08-20")
    back = refunded("o1", at("2026-05-26 10:00"), "50")
    assert ledger_after(with_birthday(), BORN, *BOUGHT, changed, back).account.available == 100  # 50 x 2
    late = [paid("o2", at("2026-08-20 10:00"), "100"), completed("o2", at("2026-08-21 10:00"))]
    assert ledger_after(with_birthday(), BORN, *BOUGHT, changed, *late).account.available == 300


def test_O2_a_birthday_told_again_moves_nothing() -> None:
    again = profile(at("2026-05-01 10:00"), birthday="1990-05-09", name="Li Lei")
    assert ledger_after(with_birthday(), BORN, again, *BOUGHT).account.available == 200
    assert len(ledger_after(with_birthday(), BORN, again).account.details.birthdays) == 1


def test_the_ledger_keeps_the_day_alone_and_only_where_a_rule_needs_it() -> None:
    kept = ledger_after(with_birthday(), BORN).journal[0].arrival.input_
    assert isinstance(kept, ProfileUpdated)
    assert kept.birthday == 509
    assert decode_input(encode_input(kept)) == kept
    assert b"1990" not in encode_input(kept)
    unneeded = ledger_after(program(["purchase"]), BORN).journal[0].arrival.input_
    assert isinstance(unneeded, ProfileUpdated)
    assert unneeded.birthday == 0


def test_what_was_journalled_before_birthdays_were_kept_is_still_read() -> None:
    old = encode_input(ProfileUpdated("/shop", "1", Micros(5), ("name",), (), True))
    # Its last field is the one appended: an array of one element less.
    shortened = bytes([old[0] - 1]) + old[1:-1]
    assert decode_input(shortened) == decode_input(old)
    assert Account(1, "m").details.birthdays == []
