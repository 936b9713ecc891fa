"""Closing local days, on a real PostgreSQL: once a shard and day, and only when all of it is booked (T8)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from schemas.events import parse_event
from services.kit.calendar import Micros, later, parse_rfc3339
from services.kit.kafka import Shard, partition_of, shard_of
from services.ledger.consumer import TOPICS
from services.ledger.horizon import CLOSED_AFTER
from services.ledger.jobs.day_close import DayClose, key_on
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop

SHARD = shard_of("m1", 16)


@pytest.fixture
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    """A ledger that has consumed 10 records of each topic of each shard."""
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        await under_test.tamper(
            "INSERT INTO consumer_offset (shard, topic, next_offset) "
            "SELECT shard, topic, 10 FROM generate_series(0, 15) AS shard, unnest($1::text[]) AS topic",
            TOPICS,
        )
        yield under_test


class Log:
    """What the log has beyond the stored offsets: the append time of its first record that is not booked."""

    def __init__(self) -> None:
        self.unbooked_at: Micros | None = None
        self.away = False
        self.asked: list[Mapping[str, int]] = []

    async def is_booked(self, shard: int, offsets: Mapping[str, int], instant: Micros) -> bool:
        self.asked.append(offsets)
        if self.away:
            raise KafkaConnectionError
        return self.unbooked_at is None or self.unbooked_at >= instant


def closing_of(ledger: LedgerUnderTest, log: Log) -> DayClose:
    """What a worker that has just started has."""
    return DayClose(ledger.pool, ledger.settings.shards, log.is_booked, now=ledger.clock)


async def closed_days(ledger: LedgerUnderTest) -> list[tuple[str, int, str]]:
    """(day, partition, time) of each event, which is valid and lies on the partition it speaks of."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT shard, key, value FROM outbox WHERE topic = 'loyalty.points.v1' ORDER BY id"
        )
    found = []
    for row in rows:
        event: Any = parse_event(row["value"])
        if event["type"] == "loyalty.day.closed.v1":
            assert event["subject"] == str(event["data"]["day"])
            assert partition_of(row["key"], 16) == row["shard"] == event["data"]["partition"]
            found.append((event["subject"], event["data"]["partition"], event["time"].isoformat()))
    return found


async def test_T8_a_day_is_closed_once_and_a_minute_after_its_midnight(ledger: LedgerUnderTest) -> None:
    log = Log()
    closing = closing_of(ledger, log)
    ledger.now = parse_rfc3339("2026-03-02T00:00:59+08:00")
    assert await closing(SHARD) == 1, "the day before the first look"
    ledger.now = later(ledger.now, 5_000_000)
    assert await closing(SHARD) == 1
    assert await closed_days(ledger) == [
        ("2026-02-28", SHARD, "2026-02-28T16:00:00+00:00"),
        ("2026-03-01", SHARD, "2026-03-01T16:00:00+00:00"),
    ]
    asked = len(log.asked)
    for _ in range(20):
        ledger.now = later(ledger.now, 3_600_000_000)
        assert await closing(SHARD) == 0
    assert len(log.asked) == asked, "the log is not looked at before there is a day to close"
    assert set(log.asked[0]) == set(TOPICS)


async def test_T8_two_sweepers_close_a_day_once(ledger: LedgerUnderTest) -> None:
    ledger.now = parse_rfc3339("2026-03-02T00:02:00+08:00")
    await asyncio.gather(*(closing_of(ledger, Log())(SHARD) for _ in range(3)))
    assert [day for day, _, _ in await closed_days(ledger)] == ["2026-03-01"]
    assert await closing_of(ledger, Log())(SHARD) == 0, "nor does one that was started again"
    assert len(await closed_days(ledger)) == 1


async def test_T8_a_day_waits_for_what_falls_due_by_its_midnight(ledger: LedgerUnderTest) -> None:
    await ledger.receive(shop.paid("o1", shop.d(1), "900"), at=shop.d(1, "10:00:01"))
    closing = closing_of(ledger, Log())
    ledger.now = parse_rfc3339("2026-03-16T12:00:00+08:00")
    assert await closing(SHARD) == 1
    # The order is confirmed at the midnight that ends 16 March: that is part of the day.
    ledger.now = parse_rfc3339("2026-03-17T00:05:00+08:00")
    assert await closing(SHARD) == 0
    await ledger.sweep("m1")
    assert await closing(SHARD) == 0, "it looks again after a while"
    ledger.now = later(ledger.now, 5_000_000)
    assert await closing(SHARD) == 1
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE shard = $1 ORDER BY id", SHARD)
    kinds = [parse_event(row["value"])["type"] for row in rows if b"loyalty.program" not in row["value"]]
    assert kinds[-3:] == ["loyalty.points.earned.v1", "loyalty.order.qualified.v1", "loyalty.day.closed.v1"]


async def test_T8_a_day_waits_for_the_inputs_that_arrived_on_it(ledger: LedgerUnderTest) -> None:
    log = Log()
    closing = closing_of(ledger, log)
    midnight = parse_rfc3339("2026-03-02T00:00:00+08:00")
    log.unbooked_at = later(midnight, -1)
    ledger.now = later(midnight, CLOSED_AFTER)
    assert await closing(SHARD) == 0
    ledger.now = later(ledger.now, 5_000_000)
    assert await closing(SHARD) == 0
    log.unbooked_at = midnight
    ledger.now = later(ledger.now, 5_000_000)
    assert await closing(SHARD) == 1


async def test_T8_no_day_is_closed_while_the_brokers_are_away_or_a_topic_has_no_place(ledger: LedgerUnderTest) -> None:
    log = Log()
    log.away = True
    closing = closing_of(ledger, log)
    ledger.now = parse_rfc3339("2026-03-02T12:00:00+08:00")
    assert await closing(SHARD) == 0
    log.away = False
    assert await closing(SHARD) == 0, "it leaves them a minute"
    ledger.now = later(ledger.now, CLOSED_AFTER)
    assert await closing(SHARD) == 1
    await ledger.tamper("DELETE FROM consumer_offset WHERE topic = $1", TOPICS[0])
    ledger.now = parse_rfc3339("2026-03-03T12:00:00+08:00")
    assert await closing(SHARD) == 0


async def test_T8_after_a_while_away_each_day_is_closed_in_turn(ledger: LedgerUnderTest) -> None:
    closing = closing_of(ledger, Log())
    ledger.now = parse_rfc3339("2026-03-02T12:00:00+08:00")
    assert await closing(SHARD) == 1
    ledger.now = parse_rfc3339("2026-03-05T12:00:00+08:00")
    while await closing(SHARD):
        pass
    assert [day for day, _, _ in await closed_days(ledger)] == ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-04"]


def test_each_shard_has_a_key_on_its_partition() -> None:
    for shards in (1, 3, 16):
        assert [partition_of(key_on(Shard(shard), shards), shards) for shard in range(shards)] == list(range(shards))
