"""Both sides of a referral on their own shards, on a real PostgreSQL: told over `loyalty.internal.v1`, booked once."""

from __future__ import annotations

from copy import deepcopy

import pytest

from services.kit.kafka import shard_of
from services.ledger.audit.verify import examine, summarise
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, ledger_on
from tests.model import events as shop

REFERRING = deepcopy(DOCUMENT)
REFERRING["earn"].append({"rule": "referral", "on": "referral", "referrer": 100, "referred": 50})
FRIEND, GUEST = "anna", "bo"


async def available(ledger: LedgerUnderTest, member: str) -> int:
    async with ledger.pool.acquire() as connection:
        points = await connection.fetchval(
            "SELECT available FROM account JOIN identity USING (shard, account) WHERE member_id = $1", member
        )
    return int(points or 0)


async def test_R9_who_referred_has_points_while_the_referred_member_has_a_successful_order(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_on(make_database(), publish=False) as ledger:
        assert shard_of(FRIEND, ledger.settings.shards) != shard_of(GUEST, ledger.settings.shards)
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, REFERRING)
        joined = shop.registered(shop.d(1), member=GUEST, referred_by=FRIEND, id="joined")
        paid = shop.paid("o1", shop.d(2), "100", member=GUEST, id="paid")
        completed = shop.completed("o1", shop.d(3), member=GUEST, id="completed")
        for day, event in enumerate((joined, paid, completed), 1):
            await ledger.receive(event, at=shop.d(day, "10:00:01"))
        messages = await ledger.internal_messages()
        await ledger.deliver()
        # 20 for joining, 100 x 1, 100 for the first purchase, 50 for having been referred; 100 for the friend.
        assert (await available(ledger, GUEST), await available(ledger, FRIEND)) == (270, 100)
        await ledger.deliver(*messages)
        assert await available(ledger, FRIEND) == 100, "told twice, booked once"
        await ledger.receive(shop.cancelled("o1", shop.d(4), member=GUEST, id="off"), at=shop.d(4, "10:00:01"))
        await ledger.deliver()
        assert (await available(ledger, GUEST), await available(ledger, FRIEND)) == (20, 0)
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        summary = summarise(*await examine(ledger.settings))
        assert summary["examples"] == []
        assert summary["ok"]


async def test_who_names_oneself_as_referrer_is_no_fault_of_the_books(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_on(make_database(), publish=False) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, REFERRING)
        await ledger.receive(shop.registered(shop.d(1), member=GUEST, referred_by=GUEST), at=shop.d(1, "10:00:01"))
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        assert summarise(*await examine(ledger.settings))["examples"] == []
