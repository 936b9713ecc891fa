"""Reviews of what was bought alone (N8), on a real PostgreSQL: goods are found in orders, and orders say so later."""

from __future__ import annotations

from copy import deepcopy

import pytest

from services.ledger.audit.verify import examine, summarise
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, ledger_on
from tests.model import events as shop

VERIFIED = deepcopy(DOCUMENT)
next(rule for rule in VERIFIED["earn"] if rule["rule"] == "review")["verified"] = True


async def review_points(ledger: LedgerUnderTest, member: str) -> int:
    """What the rule on reviews has given a member, less what it took."""
    async with ledger.pool.acquire() as connection:
        points = await connection.fetchval(
            "SELECT sum(CASE WHEN debit = 'issued' THEN points ELSE -points END) FROM entry "
            "JOIN identity USING (shard, account) WHERE member_id = $1 AND rule = 'review'",
            member,
        )
    return int(points or 0)


async def test_mend_a08_N8_a_review_keeps_its_points_only_while_the_goods_are_kept(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ledger_on(make_database(), publish=False) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, VERIFIED)
        bought = [shop.line("l1", "60", sku="tea"), shop.line("l2", "40", sku="cup")]
        await ledger.receive(shop.paid("o1", shop.d(1), bought), at=shop.d(1, "10:00:01"))
        await ledger.receive(shop.completed("o1", shop.d(2)), at=shop.d(2, "10:00:01"))
        for number, sku in enumerate(("tea", "cup", "spoon")):
            await ledger.receive(shop.review(f"v{number}", shop.d(3), sku=sku), at=shop.d(3, "10:00:01"))
        assert await review_points(ledger, shop.MEMBER) == 40
        sent_back = shop.refunded("o1", shop.d(4), [shop.part("l1", "60")])
        await ledger.receive(sent_back, at=shop.d(4, "10:00:01"))
        assert await review_points(ledger, shop.MEMBER) == 20
        # Another order brings it again once it is received, and goods that were never bought before theirs.
        again = [shop.line("l1", "60", sku="tea"), shop.line("l2", "5", sku="spoon")]
        await ledger.receive(shop.paid("o2", shop.d(5), again), at=shop.d(5, "10:00:01"))
        assert await review_points(ledger, shop.MEMBER) == 20
        await ledger.receive(shop.completed("o2", shop.d(6)), at=shop.d(6, "10:00:01"))
        assert await review_points(ledger, shop.MEMBER) == 60
        monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
        summary = summarise(*await examine(ledger.settings))
        assert (summary["examples"], summary["ok"]) == ([], True)
