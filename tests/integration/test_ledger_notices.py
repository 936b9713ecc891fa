"""Notices before points expire, on a real PostgreSQL: told once, for what is left then, and page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from schemas.events import parse_event
from services.kit.calendar import later, parse_rfc3339
from services.kit.executor import Executor
from services.kit.kafka import Shard, shard_of
from services.ledger import store
from services.ledger.audit.verify import examine, summarise
from services.ledger.jobs import expiry_notices
from services.ledger.jobs.expiry_notices import ExpiryNotices
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop


@pytest.fixture
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        yield under_test


def notices_of(ledger: LedgerUnderTest, *, page: int = expiry_notices.PAGE) -> ExpiryNotices:
    """What a worker that has just started has."""
    return ExpiryNotices(ledger.pool, Executor(ledger.pool, ledger.ledger.book), now=ledger.clock, page=page)


async def sweep(ledger: LedgerUnderTest, at: str, sweeper: ExpiryNotices | None = None) -> int:
    """Tell all that is to be told at an instant; how many passes found something."""
    ledger.now = parse_rfc3339(at)
    sweeper = sweeper or notices_of(ledger)
    passes = 0
    for shard in range(ledger.settings.shards):
        while await sweeper(Shard(shard)):
            passes += 1
    return passes


async def member_with_points(ledger: LedgerUnderTest, member: str, amount: str = "900") -> None:
    """¥900 completed on 5 March 2026: 1,800 points and 100 for the first purchase, until 1 March 2027."""
    await ledger.receive(
        shop.paid("o1", shop.d(1), amount, member=member, id=f"{member}:paid"), at="2026-03-01T10:00:01+08:00"
    )
    await ledger.receive(
        shop.completed("o1", shop.d(5), member=member, id=f"{member}:completed"), at="2026-03-05T10:00:01+08:00"
    )


async def notices(ledger: LedgerUnderTest) -> list[dict[str, Any]]:
    """The notices sent so far, each a valid event of the contract."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox ORDER BY shard, id")
    events: list[Any] = [parse_event(row["value"]) for row in rows if b"points.expiring" in row["value"]]
    return [{**event["data"], "subject": event["subject"]} for event in events]


@asynccontextmanager
async def as_in_production(ledger: LedgerUnderTest) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection that plans as those of the service do."""
    connection = await asyncpg.connect(ledger.dsn, server_settings={"search_path": "ledger"})
    try:
        await store.prepare(connection)
        yield connection
    finally:
        await connection.close()


def seen(found: list[dict[str, Any]]) -> list[tuple[str, int, str, int]]:
    """(member, points, last day, days left) of each notice."""
    return sorted((each["subject"], each["points"], str(each["expires_on"]), each["days_left"]) for each in found)


async def test_points_that_expire_are_told_of_with_30_7_and_1_days_left(ledger: LedgerUnderTest) -> None:
    await member_with_points(ledger, "m1")
    await sweep(ledger, "2027-01-30T23:59:59+08:00")
    assert await notices(ledger) == []
    await sweep(ledger, "2027-01-31T00:00:00+08:00")
    [notice] = await notices(ledger)
    assert seen([notice]) == [("m1", 1900, "2027-03-01", 30)]
    assert notice["balance"] == {"available": 1900, "pending": 0, "held": 0, "debt": 0}
    cause = notice["cause"]
    assert (cause["type"], cause["id"]) == ("loyalty.timer.due.v1", "expiring:2027-03-01:30d")
    await sweep(ledger, "2027-02-22T12:00:00+08:00")
    assert len(await notices(ledger)) == 1
    await sweep(ledger, "2027-02-23T00:00:00+08:00")
    await sweep(ledger, "2027-03-01T00:00:00+08:00")
    await sweep(ledger, "2027-03-02T00:00:00+08:00")
    assert [each["days_left"] for each in await notices(ledger)] == [30, 7, 1]
    report, faults, figures = await examine(ledger.settings, processes=1)
    assert summarise(report, faults, figures)["ok"], faults


async def test_only_what_is_still_available_is_told_of(ledger: LedgerUnderTest) -> None:
    for member, used in (("m1", 700), ("m2", 1900)):
        await member_with_points(ledger, member)
        spent = shop.paid("o2", shop.d(6), "100", member=member, id=f"{member}:o2", points_used=used, points_value="0")
        await ledger.receive(spent, at=shop.d(6, "10:00:01"))
        await ledger.receive(
            shop.cancelled("o3", shop.d(7), member=member, id=f"{member}:o3"), at=shop.d(7, "10:00:01")
        )
    await sweep(ledger, "2027-01-31T08:00:00+08:00")
    assert [each[:3] for each in seen(await notices(ledger))] == [("m1", 1200, "2027-03-01")]


async def test_two_sweepers_and_one_that_was_killed_tell_once(ledger: LedgerUnderTest) -> None:
    members = [f"m{number}" for number in range(1, 8)]
    for member in members:
        await member_with_points(ledger, member)
    at = "2027-01-31T00:00:00+08:00"
    await asyncio.gather(*(sweep(ledger, at, notices_of(ledger, page=2)) for _ in range(2)))
    expected = [(member, 1900, "2027-03-01", 30) for member in members]
    assert seen(await notices(ledger)) == expected
    # Killed after a page was booked and before the place was kept: the next one starts the page again.
    await ledger.tamper("DELETE FROM notice")
    await sweep(ledger, at)
    assert seen(await notices(ledger)) == expected


async def test_a_ledger_that_was_away_tells_what_is_still_to_come(ledger: LedgerUnderTest) -> None:
    await member_with_points(ledger, "m1")
    await sweep(ledger, "2027-01-01T00:00:00+08:00")
    await sweep(ledger, "2027-02-25T09:00:00+08:00")
    # The notice with 30 days left has become that with 7, which is told on its third day.
    assert [(each["days_left"], each["cause"]["id"]) for each in await notices(ledger)] == [
        (5, "expiring:2027-03-01:7d")
    ]


async def test_a_pass_looks_at_a_page_of_accounts_and_then_rests_until_midnight(ledger: LedgerUnderTest) -> None:
    members = [f"m{number}" for number in range(1, 60)]
    shard = shard_of(members[0], ledger.settings.shards)
    mine = [member for member in members if shard_of(member, ledger.settings.shards) == shard]
    assert len(mine) > 3
    for member in mine:
        await member_with_points(ledger, member, "10")
    ledger.now = parse_rfc3339("2027-01-31T00:00:00+08:00")
    sweeper = notices_of(ledger, page=2)
    assert await sweeper(Shard(shard)) == 2
    assert len(await notices(ledger)) == 2, "commands wait for a page at most"
    while await sweeper(Shard(shard)):
        pass
    assert len(await notices(ledger)) == len(mine)
    await ledger.tamper("DELETE FROM notice")
    ledger.now = later(ledger.now, 3_600_000_000)
    assert await sweeper(Shard(shard)) == 0, "not even a question before the next midnight"


async def test_notices_are_planned_by_index_and_lots_of_a_member_are_still_found_by_theirs(
    ledger: LedgerUnderTest,
) -> None:
    async with as_in_production(ledger) as connection:
        plan = "\n".join(
            row[0] for row in await connection.fetch(f"EXPLAIN {expiry_notices.SQL.lots_of_day}", 1, 738_000, 0, 200)
        )
        # In the index's order, so that a page of a day with a million lots reads a page.
        assert "lot_last_day" in plan, plan
        assert "identity_account" in plan, plan
        assert "Sort" not in plan, plan
        for name, asked in {"spendable_lots": [[1]], "lot_families": [[1], [738_000]]}.items():
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {store.SQL[name]}", 1, *asked))
            assert "lot_pkey" in plan, plan
