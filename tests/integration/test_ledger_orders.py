"""Orders over HTTP, on a real PostgreSQL: what is undone of them, and what is odd about them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from schemas.events import parse_event
from services.kit.metrics import counter
from services.ledger.audit.verify import examine, summarise
from services.ledger.domain.state.outcome import Outcome
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


async def alarms_told(ledger: LedgerUnderTest, member: str) -> list[dict[str, Any]]:
    """The alarms of the events that wait to go out, in order."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE key = $1 ORDER BY id", member.encode())
    events: list[Any] = [parse_event(row["value"]) for row in rows]
    told = [event["data"] for event in events if event["type"] == "loyalty.order.alarmed.v1"]
    return [alarm | {"order": (data["shop"], data["order_id"])} for data in told for alarm in data["alarms"]]


async def test_mend_a05_O10_a_refund_told_otherwise_is_known_and_stands_on_the_order_is_counted_and_goes_out(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "u2")
    before = counter("alarms_total", kind="told_differently")._value.get()
    await ledger.receive(shop.refunded("o1", shop.d(6), "200", member="u2", id="u2:r"), at=shop.d(6, "10:00:01"))
    assert await points_of(client, "u2") == (1150, 0, 0, 0)
    for number, amount in enumerate(("0.00", "100.00")):
        again = shop.refunded("o1", shop.d(7 + number), amount, member="u2", id=f"u2:r:{number}")
        [outcome] = await ledger.receive(again, at=shop.d(7 + number, "10:00:01"))
        assert isinstance(outcome, Outcome)
        assert (outcome.kind, outcome.alarms) == ("known", ["told_differently"])
    assert await points_of(client, "u2") == (1150, 0, 0, 0)
    seen = (await client.get("/v1/members/u2/orders/o1")).json()["alarms"]
    assert [(alarm["kind"], alarm["at"]) for alarm in seen] == [
        ("told_differently", "2026-03-07T02:00:00Z"),
        ("told_differently", "2026-03-08T02:00:00Z"),
    ]
    assert seen[1]["detail"] == (
        "refund r1: u2:r of /shop/orders (200.00) holds, u2:r:1 of /shop/orders (100.00) says otherwise"
    )
    assert [(alarm["order"], alarm["detail"]) for alarm in await alarms_told(ledger, "u2")] == [
        (("", "o1"), alarm["detail"]) for alarm in seen
    ]
    assert counter("alarms_total", kind="told_differently")._value.get() == before + 2
    said = (await client.get("/v1/inputs", params={"source": "/shop/orders", "id": "u2:r:1", "member_id": "u2"})).json()
    assert (said["inputs"][0]["outcome"], said["inputs"][0]["alarms"]) == ("known", ["told_differently"])


async def test_mend_a05_O10_O11_what_goes_on_after_a_cancellation_or_is_deducted_twice_is_an_alarm(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed_order(ledger, "u3")
    kettle = [shop.line("l1", "500"), shop.line("l2", "300")]
    for event in (
        shop.paid("o2", shop.d(6), kettle, member="u3", id="u3:o2"),
        shop.cancelled("o2", shop.d(7), member="u3", id="u3:o2:no"),
        shop.paid("o2", shop.d(8), kettle[:1], revision=1, member="u3", id="u3:o2:1"),
        shop.completed("o2", shop.d(9), member="u3", id="u3:o2:done"),
        shop.refunded("o1", shop.d(10), "200", member="u3", id="u3:r1"),
        shop.paid("o1", shop.d(11), "700", revision=1, member="u3", id="u3:o1:1"),
        shop.refunded("o3", shop.d(12), [shop.part("l2", "300")], member="u3", id="u3:o3:r1"),
        shop.paid("o3", shop.d(12), kettle, member="u3", id="u3:o3"),
        shop.paid("o3", shop.d(13), kettle[:1], revision=1, member="u3", id="u3:o3:1"),
    ):
        await ledger.receive(event, at=event["time"])
    alarms = {
        order: [alarm["kind"] for alarm in (await client.get(f"/v1/members/u3/orders/{order}")).json()["alarms"]]
        for order in ("o1", "o2", "o3")
    }
    assert alarms == {"o1": ["revised_after_refund"], "o2": ["cancelled_but_going_on"], "o3": []}
    assert {(alarm["order"][1], alarm["kind"]) for alarm in await alarms_told(ledger, "u3")} == {
        ("o1", "revised_after_refund"),
        ("o2", "cancelled_but_going_on"),
    }
    # Both deductions of o1 are booked, 500 x 1.5, and the first purchase's 100; o3 is not received yet.
    assert await points_of(client, "u3") == (850, 0, 0, 0)
    await ledger.receive(shop.reinstated("o2", shop.d(14), member="u3", id="u3:o2:yes"), at=shop.d(14, "10:00:01"))
    assert (await points_of(client, "u3"))[0] == 850 + 750
    assert (await client.get("/v1/members/u3/orders/o2")).json()["alarms"] == []
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert summary["ok"], summary["examples"]
