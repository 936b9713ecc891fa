"""Alarms on orders: what they say, how they go out, and who passes over them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from schemas.events import parse_event
from schemas.topics import TOPIC_OF
from services.kit.calendar import later
from services.kit.cloudevent import HEADERS
from services.kit.kafka import Record, Shard
from services.ledger.domain.state.orders import decode_order, encode_order
from services.ledger.events.outbound import MAX_ALARMS, render_facts
from services.notifier.events.inbound import Decoder as NotifierDecoder
from services.tiering.domain.program import ProgramVersions as TierVersions
from services.tiering.events.inbound import Decoder as TieringDecoder
from tests.model import events as shop
from tests.model.days import instant
from tests.model.events import Event, d
from tests.model.program import Program, program
from tests.model.table.case import PURCHASE, TWO_LOTS
from tests.unit.ledger_member import MemoryLedger


def told(*events: Event, by: Program = PURCHASE) -> MemoryLedger:
    """A ledger to which these events came when they happened."""
    ledger = MemoryLedger(by, tiers="received")
    for event in events:
        ledger.arrive(event, instant(event["time"]))
    return ledger


def rendered(ledger: MemoryLedger) -> list[bytes]:
    rows = [row for each in ledger.journal for row in render_facts(Shard(0), "m1", each, ledger.programs)]
    return [row.value for row in rows if b"loyalty.order.alarmed.v1" in (row.value or b"") and row.value]


def alarmed(ledger: MemoryLedger) -> list[dict[str, Any]]:
    """The data of the events about alarms, all of which validate, in order."""
    return [dict(parse_event(value)["data"]) for value in rendered(ledger)]


def details(ledger: MemoryLedger) -> list[tuple[str, str, str]]:
    """(kind, detail, at) of all alarms that went out."""
    return [
        (alarm["kind"], alarm["detail"], f"{alarm['at']:%m-%d %H:%M}")
        for data in alarmed(ledger)
        for alarm in data["alarms"]
    ]


PAID = shop.paid("o1", d(1), "900", shop="north")


def north(event: Event) -> Event:
    """An event of the order in the shop north."""
    return {**event, "data": event["data"] | {"shop": "north"}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [shop.refunded("o1", d(6), "200"), shop.refunded("o1", d(7), "100", id="again")],
            (
                "told_differently",
                "refund r1: o1:refunded:r1 of /shop/orders (200.00) holds, "
                "again of /shop/orders (100.00) says otherwise",
                "03-07 02:00",
            ),
        ),
        (
            [shop.paid("o1", d(2), "800", id="again")],
            (
                "told_differently",
                "revision 0: o1:paid:0 of /shop/orders holds, again of /shop/orders says otherwise",
                "03-02 02:00",
            ),
        ),
        (
            [shop.cancelled("o1", d(3)), shop.shipped("o1", d(4))],
            (
                "cancelled_but_going_on",
                "cancelled at 2026-03-03T02:00:00Z, and shipped, completed or revised after that",
                "03-04 02:00",
            ),
        ),
        (
            [shop.refunded("o1", d(6), "200"), shop.paid("o1", d(7), "700", revision=1)],
            (
                "revised_after_refund",
                "revision 1 lowers line l1 from 900.00 to 700.00, and 200.00 of it are refunded too",
                "03-07 02:00",
            ),
        ),
        (
            [shop.refunded("o1", d(6), [shop.part("l9", "1"), shop.part("l8", "1")])],
            ("unknown_line", "refund r1 is of line l8 and 1 more", "03-06 02:00"),
        ),
        (
            [shop.refunded("o1", d(6), "901.50")],
            ("refund_beyond_line", "refund r1 is 1.50 more than was left", "03-06 02:00"),
        ),
        (
            [shop.paid("o1", d(2), "9", points_used=1200, points_value="12", revision=1)],
            ("value_beyond_order", "1200 points worth 12.00, where points can pay 9.00", "03-02 02:00"),
        ),
        (
            [shop.paid("o1", d(2), "9", points_used=1, points_value="5", revision=1)],
            ("points_beyond_program", "1 points worth 5.00, where points can pay 9.00", "03-02 02:00"),
        ),
        (
            [shop.paid("o1", d(2), "900", points_used=100, points_value="1", revision=1)],
            ("points_short", "100 of the points it used were not there", "03-02 02:00"),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_O10_an_alarm_goes_out_once_and_says_what_does_not_go_together(
    events: list[Event], expected: tuple[str, str, str]
) -> None:
    ledger = told(PAID, *map(north, events), by=program(["purchase"]))
    assert expected in details(ledger)
    kinds = [kind for row in ledger.journal for kind in row.outcome.alarms]
    assert kinds == [kind for kind, *_ in details(ledger)], "each is counted by its kind"
    assert {(data["order_id"], data["shop"]) for data in alarmed(ledger)} == {("o1", "north")}
    standing = decode_order(ledger.orders["north/o1"]).alarms
    assert expected[0] in {alarm.kind for alarm in standing}
    again = len(ledger.journal)
    ledger.arrive(north(shop.shipped("o1", d(1, "11:00"), id="late")), instant(d(9)))
    assert ledger.journal[-1].outcome.kind == "booked"
    assert not any(row.outcome.alarms for row in ledger.journal[again:]), "an alarm that stands is not news"


def test_mend_a05_O10_a_contradiction_is_answered_known_and_alarms_all_the_same() -> None:
    ledger = told(PAID, north(shop.refunded("o1", d(6), "200")), north(shop.refunded("o1", d(7), "0.00", id="again")))
    outcome = ledger.journal[-1].outcome
    assert (outcome.kind, outcome.alarms, outcome.entries, outcome.qualified) == ("known", ["told_differently"], [], [])
    assert len(alarmed(ledger)) == 1


def test_mend_a05_O10_each_further_contradiction_is_an_alarm_of_its_own() -> None:
    again = [shop.refunded("o1", d(day), amount, id=f"again {day}") for day, amount in ((7, "100"), (8, "50"))]
    ledger = told(PAID, *map(north, [shop.refunded("o1", d(6), "200"), *again]))
    assert [kind for kind, *_ in details(ledger)] == ["told_differently", "told_differently"]
    assert "again 8 of /shop/orders (50.00)" in details(ledger)[1][1]


def test_mend_a05_O10_an_alarm_that_a_later_fact_resolves_stands_no_longer() -> None:
    ledger = told(*map(north, [PAID, shop.cancelled("o1", d(3)), shop.completed("o1", d(4))]))
    assert [alarm.kind for alarm in decode_order(ledger.orders["north/o1"]).alarms] == ["cancelled_but_going_on"]
    ledger.arrive(north(shop.reinstated("o1", d(5))), instant(d(5)))
    assert decode_order(ledger.orders["north/o1"]).alarms == []
    assert len(alarmed(ledger)) == 1


def test_P7_each_shortfall_of_an_order_is_an_alarm_that_stays() -> None:
    spent = shop.paid("s1", d(10), "900", points_used=250, points_value="2.50")
    ledger = told(*[step for step in TWO_LOTS if isinstance(step, dict)], spent)
    ledger.arrive(shop.paid("s1", d(11), "900", points_used=300, points_value="3", revision=1), instant(d(11)))
    assert [(kind, detail[:3]) for kind, detail, _ in details(ledger) if kind == "points_short"] == [
        ("points_short", "50 "),
        ("points_short", "50 "),
    ]


def test_more_alarms_than_an_event_takes_go_out_in_several() -> None:
    refunds = [
        shop.refunded("o1", d(2), "901", refund=f"r{number:03}", shop="north") for number in range(MAX_ALARMS + 1)
    ]
    assert [len(data["alarms"]) for data in alarmed(told(*refunds, PAID))] == [MAX_ALARMS, 1]


def test_the_longest_names_fit_into_an_alarm() -> None:
    name, source = "n" * 128, "/" + "s" * 127
    again = [shop.refunded("o1", d(day), "1", refund=name, id=f"{day}" + "i" * 127, source=source) for day in (6,)] + [
        shop.refunded("o1", d(7), "2", refund=name, id="7" + "j" * 127, source=source)
    ]
    assert [kind for kind, *_ in details(told(PAID, *map(north, again)))] == ["told_differently"]


def test_mend_a05_O10_tiering_and_the_notifier_pass_over_alarms() -> None:
    [value] = rendered(told(PAID, north(shop.refunded("o1", d(6), "901"))))
    topic = TOPIC_OF["loyalty.order.alarmed.v1"].name
    record = Record(topic, Shard(0), 0, instant(d(6)), b"m1", value, HEADERS)
    assert orjson.loads(value)["type"] == "loyalty.order.alarmed.v1"
    assert TieringDecoder(lambda: TierVersions([]), shards=1, max_event_age_days=400)(record) is None
    assert NotifierDecoder(shards=1, max_event_age_days=400)(record) is None


def test_K4_what_an_older_release_found_is_told_with_its_details_once_the_order_is_booked_again() -> None:
    ledger = told(PAID, north(shop.refunded("o1", d(6), "901")))
    order = decode_order(ledger.orders["north/o1"])
    order.older_alarms, order.alarms = ["refund_beyond_line", "points_short"], []
    ledger.orders["north/o1"] = encode_order(order)
    ledger.arrive(north(shop.completed("o1", d(7))), later(instant(d(7)), 1))
    now = decode_order(ledger.orders["north/o1"])
    assert ([alarm.kind for alarm in now.alarms], now.older_alarms) == (["refund_beyond_line", "points_short"], [])
    assert [kind for kind, *_ in details(ledger)] == ["refund_beyond_line"] * 2


def test_O11_an_order_that_is_revised_again_and_again_keeps_the_lines_of_one_revision_before() -> None:
    lines = [shop.line(f"l{number}", "10") for number in range(50)]
    sizes = []
    ledger = MemoryLedger(PURCHASE, tiers="received")
    for revision in range(30):
        at = d(1, f"10:{revision:02}")
        changed = shop.paid("o1", at, [*lines, shop.line("last", f"{revision}")], revision=revision)
        ledger.arrive(changed, instant(at))
        sizes.append(len(ledger.orders["/o1"]))
    assert sizes[29] - sizes[2] < 20, "it does not grow"
