"""The generated day: repeatable, of the contract, with all that happens in a shop."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import phonenumbers
import pytest

from deploy.shop.day import SPAN_DAYS, shop_day
from deploy.shop.events import KAFKA_HEADERS, Event, read_events
from schemas.events import read_event
from schemas.topics import TOPIC_OF
from services.kit.calendar import Micros, to_micros

TODAY = date(2026, 3, 14)
ZONE = ZoneInfo("Asia/Shanghai")


def at(hour: int) -> Micros:
    """An hour of today."""
    return to_micros(datetime(TODAY.year, TODAY.month, TODAY.day, hour, tzinfo=ZONE))


def day(seed: int = 1, members: int = 200, hour: int = 20) -> list[Event]:
    return shop_day(seed=seed, members=members, today=TODAY, now=at(hour))


def parsed(events: list[Event]) -> list[dict[str, Any]]:
    return [orjson.loads(event.body) for event in events]


def test_a_seed_makes_it_repeatable() -> None:
    assert day(seed=1) == day(seed=1)
    assert day(seed=1) != day(seed=2)


def test_more_members_leave_the_others_as_they_were() -> None:
    few, many = Counter(day(members=20)), Counter(day(members=40))
    assert set(few) <= set(many)


def test_told_again_later_it_only_adds_what_happened_since() -> None:
    morning, evening = day(hour=10), day(hour=23)
    assert len(morning) < len(evening)
    assert set(morning) <= set(evening)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_event_is_of_the_contract(seed: int) -> None:
    for event in day(seed):
        read = read_event(event.body, KAFKA_HEADERS, event.member_id.encode())
        assert TOPIC_OF[read["type"]].name == event.topic
    assert list(read_events(event.body for event in day(seed))) == day(seed)


def test_nothing_lies_in_the_future_or_before_the_story() -> None:
    events = day(hour=12)
    assert max(event.at for event in events) <= at(12)
    assert min(event.at for event in events) >= at(0) - SPAN_DAYS * timedelta(days=1) // timedelta(microseconds=1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_everything_happens_that_happens_in_a_shop(seed: int) -> None:
    events = parsed(day(seed))
    kinds = Counter(event["type"] for event in events)
    assert set(kinds) >= {
        "commerce.order.paid.v1",
        "commerce.order.shipped.v1",
        "commerce.order.completed.v1",
        "commerce.order.refunded.v1",
        "commerce.order.cancelled.v1",
        "commerce.order.reinstated.v1",
        "commerce.order.refund_failed.v1",
        "commerce.member.signed_in.v1",
        "commerce.review.published.v1",
        "commerce.review.removed.v1",
        "commerce.member.registered.v1",
        "commerce.profile.updated.v1",
        "commerce.consent.changed.v1",
        "commerce.device.registered.v1",
        "commerce.activity.recorded.v1",
    }
    paid = [event["data"] for event in events if event["type"] == "commerce.order.paid.v1"]
    assert any("points_used" in order for order in paid)
    assert any(order.get("revision") for order in paid)
    assert any(line["category"] == "gift-card" for order in paid for line in order["lines"])
    assert {event["data"]["activity"] for event in events if "activity" in event["data"]} == {
        "favourite",
        "game",
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_refunds_come_before_and_after_completion_and_before_their_order_arrives(seed: int) -> None:
    events = parsed(day(seed))
    first_arrival: dict[tuple[str, str], int] = {}
    times: dict[tuple[str, str], str] = {}
    for position, event in enumerate(events):
        key = (event["type"].split(".")[2], event["data"].get("order_id", ""))
        first_arrival.setdefault(key, position)
        times.setdefault(key, event["time"])
    refunded = [order for kind, order in times if kind == "refunded" and ("paid", order) in times]
    completed = [order for order in refunded if ("completed", order) in times]
    assert any(times["refunded", order] > times["completed", order] for order in completed)
    assert any(times["refunded", order] < times["completed", order] for order in completed)
    assert any(first_arrival["refunded", order] < first_arrival["paid", order] for order in refunded)
    assert all(times["refunded", order] >= times["paid", order] for order in refunded)
    assert any(kind == "refunded" and ("paid", order) not in times for kind, order in times), "one parked"


def test_some_records_arrive_twice_and_are_the_same_bytes() -> None:
    events = day()
    identities = Counter((event["subject"], event["source"], event["id"], event["time"]) for event in parsed(events))
    twice = sum(count - 1 for count in identities.values())
    assert twice >= 2
    assert len(events) - len(set(events)) == twice


def test_orders_have_the_sizes_of_a_real_shop() -> None:
    totals = [
        sum(float(line["amount"]) for line in event["data"]["lines"])
        for event in parsed(day(members=3000))
        if event["type"] == "commerce.order.paid.v1"
    ]
    assert sum(total < 200 for total in totals) / len(totals) == pytest.approx(0.33, abs=0.03)
    assert sum(total > 800 for total in totals) / len(totals) == pytest.approx(0.11, abs=0.02)


def test_nobody_is_invented() -> None:
    for event in parsed(day()):
        data = event["data"]
        if phone := data.get("phone"):
            number = phonenumbers.parse(phone)
            assert phonenumbers.is_valid_number(number)
            assert "55501" in phone
        assert data.get("email", "@example.com").endswith("@example.com")
        assert data.get("name", "0")[-1].isdigit()


def test_a_line_that_is_no_event_is_refused_by_number() -> None:
    with pytest.raises(ValueError, match="line 2: "):
        list(read_events([day()[0].body, b"{}"]))
