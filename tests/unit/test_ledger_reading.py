"""The reading side without a database: reads that share a query, exact numbers in words, parameters, the replica."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date
from fractions import Fraction

import orjson
import pytest

from schemas import program
from schemas.events import parse_event
from schemas.program import content_hash
from services.kit.calendar import calendar_of, parse_rfc3339
from services.kit.problem import Problem
from services.ledger.api.balance import matches
from services.ledger.api.context import instant_of, instant_or_day
from services.ledger.api.entries import _place, change
from services.ledger.api.explanation import plain, says, sum_of
from services.ledger.audit.replay import Replay
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.domain.state.outcome import AwardReason
from services.ledger.events.inbound import input_of
from services.ledger.publication import Known, NotPublished, plan
from services.ledger.reads.batch_loader import BatchLoader
from services.ledger.reads.history import NEWEST
from services.ledger.reads.rows import EntryRow
from tests.conftest import REPOSITORY
from tests.model import events as shop

DOCUMENT = program.load((REPOSITORY / "deploy" / "program.yaml").read_text("utf-8")).document()
PROGRAMS = ProgramVersions([compile_program(1, DOCUMENT)])
PROGRAM = PROGRAMS.by_number[1]


# ── reads that arrive together ───────────────────────────────────────────────────────────────────────────────────────


async def test_reads_that_arrive_together_share_queries() -> None:
    asked: list[list[int]] = []

    async def read_many(keys: Sequence[int]) -> list[int]:
        asked.append(list(keys))
        await asyncio.sleep(0.001)
        return [key * 10 for key in keys]

    reads = BatchLoader(read_many, at_once=1, most=8)
    answers = await asyncio.gather(*(reads.read(key) for key in range(20)))
    assert answers == [key * 10 for key in range(20)]
    assert [len(keys) for keys in asked] == [8, 8, 4]
    assert await reads.read(7) == 70, "and again, when all is quiet"


async def test_a_query_that_fails_fails_its_own_reads_alone() -> None:
    async def read_many(keys: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        if 1 in keys:
            raise OSError("away")
        return list(keys)

    reads = BatchLoader(read_many, at_once=1, most=2)
    answers = await asyncio.gather(*(reads.read(key) for key in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError, int, int]


async def test_a_reader_who_went_away_disturbs_nobody() -> None:
    gate = asyncio.Event()

    async def read_many(keys: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(keys)

    reads = BatchLoader(read_many)
    impatient, patient = asyncio.create_task(reads.read(1)), asyncio.create_task(reads.read(2))
    await asyncio.sleep(0)
    impatient.cancel()
    gate.set()
    assert await patient == 2


# ── words and numbers ────────────────────────────────────────────────────────────────────────────────────────────────


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
    assert plain(number) == text


def entry(debit: str, credit: str, points: int, *, rule: str = "purchase", lot_day: str = "2027-03-01") -> EntryRow:
    day = date(2026, 3, 1).toordinal()
    last = date.fromisoformat(lot_day).toordinal() if lot_day else 0
    return EntryRow(3, 1, 0, day, debit, credit, points, last, 0, rule, "/o1", 1)  # type: ignore[arg-type]


def test_N4_an_entry_is_explained_in_a_sentence() -> None:
    reason = AwardReason("purchase", 1, "vip", 80_001, 1920)
    assert says(entry("issued", "pending", 1920), PROGRAM, reason) == (
        "1920 points will be spendable once the order is completed, for order o1 on 2026-03-01: rule purchase of "
        "program 2026.1. The eligible part of the order, 800.01 CNY, earns 2 points a unit: 800.01 × 2 × 1.2 for tier "
        "vip = 1920.024, rounded (floor) to 1920; this entry is what that changed. They can be spent until the end of "
        "2027-03-01."
    )
    owed = entry("debt", "issued", 50, lot_day="")
    assert "were not there to be taken back, and are owed" in says(owed, PROGRAM, None)
    nothing = AwardReason("purchase", 1, "none", 0, 0)
    assert "earns nothing" in says(entry("pending", "issued", 5), PROGRAM, nothing)
    assert sum_of(nothing, PROGRAMS)["points"] == 0


def test_a_change_says_what_a_member_sees() -> None:
    assert change(entry("pending", "available", 7)) == {"pending": -7, "available": 7}
    assert change(entry("available", "debt", 7)) == {"available": -7, "debt": -7}
    assert change(entry("debt", "issued", 7)) == {"debt": 7}
    assert change(entry("available", "expired", 7)) == {"available": -7}


# ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cursors_are_places_in_the_ledger() -> None:
    assert _place(None) == NEWEST
    assert _place("12.3") == (12, 3)
    for wrong in ("", "12", "a.b", "1.2.3", "-1.2", "٣.1", "9" * 30 + ".1"):
        with pytest.raises(Problem):
            _place(wrong)


def test_a_time_or_a_local_day() -> None:
    shanghai = calendar_of("Asia/Shanghai")
    assert instant_of("2026-03-01T00:00:00 08:00", "at") == parse_rfc3339("2026-02-28T16:00:00Z")
    assert instant_or_day("2026-03-01", "from", shanghai, end=False) == parse_rfc3339("2026-02-28T16:00:00Z")
    assert instant_or_day("2026-03-01", "to", shanghai, end=True) == parse_rfc3339("2026-03-01T16:00:00Z")
    with pytest.raises(Problem):
        instant_or_day("2026-02-30", "to", shanghai, end=True)


def test_etags_are_compared_weakly() -> None:
    assert matches('"a", W/"b"', 'W/"b"')
    assert matches('"b"', 'W/"b"')
    assert matches("*", 'W/"b"')
    assert not matches('W/"bb"', 'W/"b"')


# ── publication ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_later_version_needs_ten_minutes_notice_to_the_microsecond() -> None:
    first = Known(1, "example-shop", "2026.1", content_hash(DOCUMENT), parse_rfc3339("2026-01-01T00:00:00Z"), "CNY")
    later = DOCUMENT | {"version": "2026.2", "effective_from": "2026-05-01T12:10:00+00:00"}
    noon = parse_rfc3339("2026-05-01T12:00:00Z")
    assert plan(later, [first], noon).number == 2
    with pytest.raises(NotPublished):
        plan(later, [first], noon + 1)
    assert plan(DOCUMENT, [first], noon).again


# ── the replica ──────────────────────────────────────────────────────────────────────────────────────────────────────


def a_history() -> list[Arrival]:
    """Orders that are revised, refunded, cancelled and paid with points, with sign-ins and reviews in between."""
    told = [
        shop.registered(shop.d(1)),
        shop.paid("o1", shop.d(1), [shop.line("l1", "500"), shop.line("l2", "400")]),
        shop.signed_in(shop.d(2)),
        shop.completed("o1", shop.d(3)),
        shop.paid("o2", shop.d(4), "300", points_used=500, points_value="5"),
        *(shop.review(str(number), shop.d(5)) for number in range(4)),
        shop.refunded("o1", shop.d(6), [shop.part("l1", "500")]),
        shop.refunded("o2", shop.d(7), "100"),
        shop.paid("o2", shop.d(4), "350", points_used=500, points_value="5", revision=1),
        shop.cancelled("o2", shop.d(8)),
        shop.paid("o3", shop.d(9), "60"),
        shop.signed_in(shop.d(40)),
    ]
    arrivals = []
    for event in told:
        given = input_of(parse_event(orjson.dumps(event)), "CNY", 2)
        assert given is not None
        now = parse_rfc3339(event["time"]) + 1_000_000
        arrivals.append(Arrival(digest_of("m1", given.source, given.id), given, now))
    return arrivals


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_O7_a_replica_is_the_same_however_it_is_cut(size: int) -> None:
    history = a_history()
    whole, sliced = Replay(PROGRAMS, 1, "m1"), Replay(PROGRAMS, 1, "m1")
    whole.fold(history)
    heads = [
        row.head for start in range(0, len(history), size) for row in sliced.fold(history[start : start + size]).rows
    ]
    assert heads[-1] == whole.account.head
    assert sliced.account == whole.account
    assert sliced.orders == whole.orders
    assert sliced.lines == whole.lines
    assert sliced.facts == whole.facts
    assert {lot: columns for lot, columns in sliced.lots.items() if any(columns)} == {
        lot: columns for lot, columns in whole.lots.items() if any(columns)
    }
