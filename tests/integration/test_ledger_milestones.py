"""Reads of an account with a long history: the same answers from milestones and by the index, and quick."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from services.kit.calendar import NOT_YET, Micros, later, parse_rfc3339
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Connection
from services.ledger.audit.verify import examine, summarise
from services.ledger.domain.state.entries import KINDS
from services.ledger.jobs.milestones import Milestones
from services.ledger.reads import history
from services.ledger.reads.balances import balance_booked_until
from services.ledger.reads.rows import EntryRow
from services.ledger.reads.view import account_of
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import LedgerUnderTest, client_of, completed_order, ledger_on, reader_token
from tests.model import events as shop

MEMBER = "big"
ANOTHER = "small"


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    """A member with orders, refunds, activities and spent points over two months, and another one."""
    async with ledger_on(make_database(), jwks_file=jwks_file) as under_test:
        rng = random.Random(8)
        for number in range(40):
            day = 1 + number
            order = f"o{number}"
            events = [
                shop.paid(order, shop.d(day), "150", member=MEMBER, id=f"{order}:paid"),
                shop.signed_in(shop.d(day, "12:00:00"), member=MEMBER, id=f"in:{number}"),
            ]
            if number % 2:
                events.append(shop.completed(order, shop.d(day, "13:00:00"), member=MEMBER, id=f"{order}:done"))
            if number % 5 == 1:
                at = shop.d(day, "14:00:00")
                events.append(shop.refunded(order, at, "50.00", member=MEMBER, id=f"{order}:refund"))
            for event in events:
                under_test.now = later(parse_rfc3339(event["time"]), rng.randrange(1, 60) * 1_000_000)
                await under_test.receive(event)
        await completed_order(under_test, ANOTHER)
        yield under_test


async def _keep_milestones(ledger: LedgerUnderTest, step: int) -> int:
    keep = Milestones(ledger.pool, now=ledger.clock, step=step)
    kept = 0
    for shard in map(Shard, range(ledger.settings.shards)):
        while await keep(shard):
            kept += 1
    return kept


async def _read(tx: Connection, instants: list[Micros]) -> list[Any]:
    shard = shard_of(MEMBER, 16)
    account = await account_of(tx, shard, MEMBER)
    assert account is not None
    return [await balance_booked_until(tx, shard, account, instant) for instant in instants]


async def test_mend_c08_balances_of_the_past_are_the_same_from_milestones(
    ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger.pool.acquire() as tx:
        rows = await tx.fetch("SELECT DISTINCT now FROM journal ORDER BY now")
        moments = [row["now"] for row in rows]
        instants = [NOT_YET, *(Micros(at + shift) for at in moments for shift in (-1, 0, 1))]
        before = await _read(tx, instants)
        assert len({balance.version for balance in before}) > 50
        assert await _keep_milestones(ledger, 7) >= 10
        assert await _keep_milestones(ledger, 7) == 0  # each once
        assert await _read(tx, instants) == before
        assert await tx.fetchval("SELECT count(DISTINCT account) FROM milestone") == 1  # the small account needs none
    monkeypatch.setattr("services.kit.clock.now", ledger.clock)
    assert summarise(*await examine(ledger.settings, processes=1))["examples"] == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE milestone SET sums = (SELECT sums FROM milestone ORDER BY version LIMIT 1) WHERE version = 21",
        "UPDATE milestone SET booked_at = booked_at + interval '1 s' WHERE version = 21",
        "UPDATE milestone SET version = 1000000 WHERE version = 21",
    ],
)
async def test_mend_c08_a_milestone_that_is_not_the_sum_is_found(
    ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    await _keep_milestones(ledger, 7)
    monkeypatch.setattr("services.kit.clock.now", ledger.clock)
    await ledger.tamper(change)
    try:
        summary = summarise(*await examine(ledger.settings, processes=1))
        assert summary["checks"]["milestones"] == 1
        assert summary["broken"] == 1
    finally:
        await ledger.tamper("DELETE FROM milestone")


async def test_mend_c08_pages_by_kind_and_time_are_those_of_all_entries(ledger: LedgerUnderTest) -> None:
    await _keep_milestones(ledger, 7)
    shard = shard_of(MEMBER, 16)
    async with ledger.pool.acquire() as tx:
        account = await account_of(tx, shard, MEMBER)
        assert account is not None
        every = (await history.entries(tx, shard, account.number, limit=10_000)).rows
        assert len(every) > 100
        rng = random.Random(3)
        moments = sorted({row.booked_at for row in every})
        for kind in [None, *sorted(set(KINDS.values()))]:
            for _ in range(6):
                low, high = sorted(rng.sample(moments, 2))
                wanted = [r for r in every if low <= r.booked_at < high and (kind is None or r.kind == kind)]
                found: list[EntryRow] = []
                before: tuple[int, int] | None = history.NEWEST
                while before is not None:
                    page = await history.entries(
                        tx,
                        shard,
                        account.number,
                        before=before,
                        kind=kind,
                        booked_from=low,
                        booked_until=high,
                        limit=7,
                    )
                    found += page.rows
                    before = page.more_behind
                assert found == wanted


async def test_mend_c08_a_page_of_a_hot_kind_ends_where_it_has_looked_enough(
    ledger: LedgerUnderTest, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MAX_LOOKED_AT", 5)
    async with client_of(ledger.app(), reader_token(signer)) as client:
        path = f"/v1/members/{MEMBER}/entries"
        every = await _pages(client, path, {"limit": "200"})
        short = await _pages(client, path, {"limit": "200", "kind": "confirmed"})
        assert len(short) > 10
        assert max(len(page) for page in short) <= 5
        flat = [entry for page in short for entry in page]
        assert flat == [entry for page in every for entry in page if entry["kind"] == "confirmed"]


async def _pages(client: httpx.AsyncClient, path: str, query: dict[str, str]) -> list[list[dict[str, Any]]]:
    pages, cursor = [], None
    while True:
        answer = (await client.get(path, params=query | ({"cursor": cursor} if cursor else {}))).json()
        pages.append(answer["entries"])
        cursor = answer["next_cursor"]
        if cursor is None:
            return pages
