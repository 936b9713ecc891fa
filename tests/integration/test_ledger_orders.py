"""Orders over HTTP, on a real PostgreSQL: what is undone of them, and what is odd about them."""

from __future__ import annotations

import httpx
import pytest

from services.ledger.audit.verify import examine, summarise
from tests.integration.ledger_support import LedgerUnderTest, completed_order, points_of
from tests.model import events as shop


async def test_mend_a05_R12_R13_a_refund_that_failed_and_a_cancellation_that_was_undone_leave_the_order_as_it_was(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed_order(ledger, "u1")
    assert await points_of(client, "u1") == (1900, 0, 0, 0)
    await ledger.receive(shop.refunded("o1", shop.d(6), "200", member="u1", id="u1:r1"), at=shop.d(6, "10:00:01"))
    await ledger.receive(shop.cancelled("o1", shop.d(7), member="u1", id="u1:no"), at=shop.d(7, "10:00:01"))
    assert await points_of(client, "u1") == (0, 0, 0, 0)
    await ledger.receive(shop.reinstated("o1", shop.d(8), member="u1", id="u1:yes"), at=shop.d(8, "10:00:01"))
    assert await points_of(client, "u1") == (1150, 0, 0, 0), "700 x 1.5 and the first purchase's 100"
    await ledger.receive(shop.refund_failed("o1", shop.d(9), member="u1", id="u1:f"), at=shop.d(9, "10:00:01"))
    assert await points_of(client, "u1") == (1900, 0, 0, 0)

    seen = (await client.get("/v1/members/u1/orders/o1")).json()
    assert (seen["status"], seen["successful"], len(seen["timeline"])) == ("completed", True, 1)
    facts = seen["facts"]
    assert (facts["cancelled_at"], facts["refunds"], facts["failed_refunds"]) == (None, [], ["r1"])
    assert facts["reinstated_at"] == "2026-03-08T02:00:00Z"
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert summary["ok"], summary["examples"]
