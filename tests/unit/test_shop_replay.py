"""A file as events: of the contract, in the order of business, moved by whole weeks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from deploy.shop.checkout import Checkout, Ending, ExpectedPoints
from deploy.shop.events import KAFKA_HEADERS, Event
from deploy.shop.imitation import write_imitation
from deploy.shop.online_retail import Shop, read_rows, read_shop, sort_lines
from deploy.shop.replay import PointsUsed, parts, replay, weeks_moved
from schemas.events import read_event
from schemas.topics import TOPIC_OF
from services.kit.calendar import to_micros

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)  # a Wednesday
MAX_EVENT_AGE = timedelta(days=400)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop's year."""
    path = tmp_path_factory.mktemp("shop") / "shop.csv"
    write_imitation(path, seed=11, invoices=300)
    return read_shop(path, decimals=2)


def parsed(events: list[Event]) -> list[dict[str, object]]:
    return [orjson.loads(event.body) for event in events]


def test_every_event_is_of_the_contract(shop: Shop) -> None:
    for event in replay(shop, currency="CNY", now=NOW).events:
        read = read_event(event.body, KAFKA_HEADERS, event.member_id.encode())
        assert TOPIC_OF[read["type"]].name == event.topic


def test_every_time_is_past_and_not_too_old(shop: Shop) -> None:
    events = replay(shop, currency="CNY", now=NOW).events
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[-1].at <= to_micros(NOW)
    assert events[0].at >= to_micros(NOW - MAX_EVENT_AGE)


@pytest.mark.parametrize("day", range(13, 20))
def test_the_file_ends_last_week_on_its_own_weekday(day: int) -> None:
    friday, now = (datetime.fromisoformat(text) for text in ("2011-12-09 12:50", f"2026-07-{day} 09:00"))
    assert friday + weeks_moved(friday, now) == datetime.fromisoformat("2026-07-10 12:50")


def test_what_lies_in_the_future_is_left_to_the_due_time(shop: Shop) -> None:
    wednesday = replay(shop, currency="CNY", now=NOW)
    monday = replay(shop, currency="CNY", now=NOW - timedelta(days=2))
    assert monday.left_to_due_time > wednesday.left_to_due_time
    assert set(monday.events) <= set(wednesday.events), "told again later, it only adds what happened since"


def test_an_order_is_paid_shipped_and_completed(shop: Shop) -> None:
    replayed = replay(shop, currency="CNY", now=NOW)
    kinds = Counter(event["type"] for event in parsed(replayed.events))
    assert kinds["commerce.order.paid.v1"] == len(shop.invoices)
    assert kinds["commerce.order.refunded.v1"] == len(shop.refunds)
    assert (
        kinds["commerce.order.shipped.v1"] + kinds["commerce.order.completed.v1"]
        == 2 * len(shop.invoices) - replayed.left_to_due_time
    )


def test_no_identity_is_told_twice(shop: Shop) -> None:
    events = parsed(replay(shop, currency="CNY", now=NOW).events)
    identities = {(event["subject"], event["source"], event["id"], event["time"]) for event in events}
    assert len(identities) == len(events)


def test_shuffling_is_a_permutation_that_its_seed_decides(shop: Shop) -> None:
    in_order = replay(shop, currency="CNY", now=NOW).events
    shuffled = replay(shop, currency="CNY", now=NOW, shuffle=5).events
    assert shuffled != in_order
    assert Counter(shuffled) == Counter(in_order)
    assert shuffled == replay(shop, currency="CNY", now=NOW, shuffle=5).events
    assert shuffled != replay(shop, currency="CNY", now=NOW, shuffle=6).events


def test_a_summer_day_keeps_the_hour_of_london() -> None:
    """19 June 2011 becomes a day of June: 10:00 there is 09:00 UTC, whatever the zone of the machine."""
    lines = [
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country",
        "1,A,ITEM,1,2011-06-19 10:00:00,1.00,7.0,France",
        "2,A,ITEM,1,2011-12-09 10:00:00,1.00,7.0,France",
    ]
    winter_now = datetime(2026, 12, 16, 12, 0, tzinfo=UTC)
    events = replay(sort_lines(read_rows(lines), decimals=2), currency="CNY", now=winter_now).events
    times = {event["id"]: event["time"] for event in parsed(events)}
    assert (times["1:paid"], times["2:paid"]) == ("2026-06-21T09:00:00Z", "2026-12-11T10:00:00Z")


def test_the_parts_of_a_file_are_all_of_it_in_order(shop: Shop) -> None:
    cut = list(parts(shop))
    assert len(cut) == 14
    assert [invoice for part in cut for invoice in part.invoices] == shop.invoices
    assert sum(len(part.refunds) for part in cut) == len(shop.refunds)
    whole = replay(shop, currency="CNY", now=NOW)
    events = [event for part in cut for event in replay(part, currency="CNY", now=NOW).events]
    assert Counter(events) == Counter(whole.events)


def checkouts(shop: Shop, seed: int) -> list[Checkout]:
    expected = ExpectedPoints(seed, 2)
    return [checkout for part in parts(shop) for checkout in expected.checkouts(part)]


def test_a_seed_decides_who_pays_with_points(shop: Shop) -> None:
    assert checkouts(shop, 1) == checkouts(shop, 1) != checkouts(shop, 2)
    assert {checkout.ending for checkout in checkouts(shop, 1)} == set(Ending)


def test_points_pay_at_most_half_of_an_order_in_whole_units(shop: Shop) -> None:
    totals = {invoice.number: sum(line.amount for line in invoice.lines) for invoice in shop.invoices}
    for checkout in checkouts(shop, 3):
        assert checkout.points % 100 == 0
        assert 0 < 2 * checkout.points <= totals[checkout.order_id]


def test_P7_an_order_names_the_hold_and_the_points_it_uses(shop: Shop) -> None:
    order_id = shop.invoices[5].number
    replayed = replay(shop, currency="CNY", now=NOW, used={order_id: PointsUsed("h-1", 300)})
    (paid,) = [event for event in parsed(replayed.events) if event["id"] == f"{order_id}:paid"]
    assert isinstance(paid["data"], dict)
    used = {name: paid["data"][name] for name in ("points_used", "points_value", "hold_id")}
    assert used == {"points_used": 300, "points_value": "3.00", "hold_id": "h-1"}
    without = Counter(replay(shop, currency="CNY", now=NOW).events)
    assert len(Counter(replayed.events) - without) == 1, "nothing else is told otherwise"
