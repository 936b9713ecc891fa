"""Points that stay as long as their member does something (E3), on a real PostgreSQL: one lot, and its day moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.tokens import Signer
from schemas.program import Program
from services.kit.calendar import parse_rfc3339
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.ledger.audit.verify import examine, summarise
from services.ledger.domain.state.inputs import SendPoints
from services.ledger.jobs.expiry_notices import ExpiryNotices
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, client_of, ledger_on, reader_token
from tests.model import events as shop

SLIDING = {"kind": "sliding", "months": 1, "min_life_days": 0}


@pytest.fixture
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    """A sign-in on 1 and one on 20 March, and ¥100 paid on the 21st and received on the 22nd: until 21 April, 210
    points are there, 5 + 5 + 100 and 100 for the first purchase."""
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as under_test:
        document = {**DOCUMENT, "points": {**DOCUMENT["points"], "expiry": SLIDING}}
        async with under_test.pool.acquire() as connection:
            await publish_document(connection, Program.from_document(document).document())
        for event in (
            shop.signed_in(shop.d(1), member="m1"),
            shop.signed_in(shop.d(20), member="m1"),
            shop.paid("o1", shop.d(21), "100", member="m1"),
            shop.completed("o1", shop.d(22), member="m1"),
        ):
            await under_test.receive(event, at=event["time"])
        yield under_test


@pytest.fixture
async def client(ledger: LedgerUnderTest, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ledger.app(), reader_token(signer)) as made:
        yield made


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_E3_every_read_tells_the_day_that_the_last_activity_keeps_points_until(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    balance = await get(client, "/v1/members/m1/balance")
    assert (balance["available"], balance["expiring"]) == (210, [{"on": "2026-04-21", "points": 210}])
    before = await get(client, "/v1/members/m1/balance", at="2026-03-21T00:00:00+08:00")
    assert (before["available"], before["expiring"]) == (10, [{"on": "2026-04-21", "points": 10}])
    [lot] = (await get(client, "/v1/members/m1/lots"))["lots"]
    assert (lot["expires_on"], lot["available"]) == ("2026-04-21", 210)
    entries = (await get(client, "/v1/members/m1/entries"))["entries"]
    assert {entry["lot"]["expires_on"] for entry in entries} == {"2026-04-21"}
    order = await get(client, "/v1/members/m1/orders/o1")
    assert order["booked"]["expires_on"] == "2026-04-21"
    explanation = await get(client, f"/v1/members/m1/entries/{entries[-1]['entry']}/explanation")
    assert explanation["says"].endswith(
        "They can be spent until the end of 2026-04-21, and longer with each activity until then."
    )
    async with ledger.pool.acquire() as connection:
        outbox = await connection.fetch("SELECT value FROM outbox WHERE topic = 'loyalty.points.v1' ORDER BY id")
    events = [orjson.loads(row["value"]) for row in outbox]
    days = [each["data"]["expires_on"] for each in events if "expires_on" in each["data"]]
    # As each was told: the first sign-in, the second, the order's points pending, then confirmed with the bonus.
    assert days == ["2026-04-01", "2026-04-20", "2026-04-21", "2026-04-21", "2026-04-21"]


async def test_E3_what_nobody_kept_expires_as_one_and_what_comes_later_is_apart(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    ledger.now = parse_rfc3339("2026-04-22T00:00:00+08:00")
    balance = await get(client, "/v1/members/m1/balance")
    assert (balance["available"], balance["lifetime"]["expired"], balance["expiring"]) == (0, 210, [])
    again = shop.signed_in(shop.d(53), member="m1")  # 22 April
    await ledger.receive(again, at=again["time"])
    refund = shop.refunded("o1", shop.d(54), "40", member="m1")
    await ledger.receive(refund, at=refund["time"])
    balance = await get(client, "/v1/members/m1/balance")
    # Of the 40 that the refund claims all had expired, and none of it is taken from the new lot (R7).
    assert (balance["available"], balance["lifetime"]["expired"], balance["debt"]) == (5, 170, 0)
    lots = (await get(client, "/v1/members/m1/lots", spent=True))["lots"]
    figures = [(lot["expires_on"], lot["available"], lot["expired"], lot["forgiven"]) for lot in lots if any(
        lot[column] for column in ("available", "expired")
    )]  # fmt: skip
    assert figures == [("2026-04-21", 0, 210, 40), ("2026-05-22", 5, 0, 0)]
    await holds(ledger)


async def test_E3_notices_follow_the_day(ledger: LedgerUnderTest) -> None:
    async def sweep(at: str) -> list[tuple[int, str, int]]:
        ledger.now = parse_rfc3339(at)
        sweeper = ExpiryNotices(ledger.pool, Executor(ledger.pool, ledger.ledger.book), now=ledger.clock)
        for shard in range(ledger.settings.shards):
            while await sweeper(Shard(shard)):
                pass
        async with ledger.pool.acquire() as connection:
            rows = await connection.fetch("SELECT value FROM outbox WHERE topic = 'loyalty.points.v1' ORDER BY id")
        expiring = [orjson.loads(row["value"]) for row in rows if b"points.expiring" in row["value"]]
        return [(each["data"]["points"], each["data"]["expires_on"], each["data"]["days_left"]) for each in expiring]

    assert await sweep("2026-03-22T23:59:59+08:00") == []
    assert await sweep("2026-03-23T00:00:00+08:00") == [(210, "2026-04-21", 30)]
    kept = shop.signed_in(shop.d(41), member="m1")  # 10 April: until 10 May
    await ledger.receive(kept, at=kept["time"])
    assert await sweep("2026-04-11T00:00:00+08:00") == [(210, "2026-04-21", 30), (215, "2026-05-10", 30)]


async def test_E3_points_given_to_another_member_keep_the_day_that_they_had(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    ledger.now = parse_rfc3339("2026-03-23T10:00:00+08:00")
    await ledger.book([("m1", SendPoints("test", "t1", ledger.now, "t1", "gift", "m2", 60))])
    await ledger.deliver()
    assert (await get(client, "/v1/members/m2/balance"))["expiring"] == [{"on": "2026-04-21", "points": 60}]
    # To give points away is an activity too.
    assert (await get(client, "/v1/members/m1/balance"))["expiring"] == [{"on": "2026-04-23", "points": 150}]
    await holds(ledger)


async def test_E3_verify_sees_a_last_day_that_was_changed(ledger: LedgerUnderTest) -> None:
    await holds(ledger)
    await ledger.tamper("UPDATE lot SET ends = ends + 1 WHERE ends IS NOT NULL")
    summary = summarise(*await examine(ledger.settings, processes=1))
    assert [example["check"] for example in summary["examples"]] == ["lots"]


async def holds(ledger: LedgerUnderTest) -> None:
    """All invariants of the books."""
    summary = summarise(*await examine(ledger.settings, processes=1))
    assert summary["ok"], summary["examples"]
