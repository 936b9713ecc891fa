"""Redemptions over HTTP, on a real PostgreSQL: given back in parts, and taken over by orders (P3, P7)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from schemas.events import parse_event
from services.ledger.audit.verify import examine, summarise
from tests.integration.ledger_support import LedgerUnderTest, completed_order, held, points_of, post, refusal
from tests.model import events as shop


async def test_P3_a_redemption_is_given_back_in_parts(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "r1")
    made = await post(client, "/v1/members/r1/redemptions", {"points": 700, "reference": "mug"})
    assert (made.status_code, made.json()["balance"]["available"]) == (201, 1200)
    path = f"/v1/redemptions/{made.json()['redemption_id']}"
    part = await post(client, f"{path}/return", {"points": 200})
    assert (part.status_code, part.json()["returned"]) == (200, 200)
    assert refusal(await post(client, f"{path}/return", {"points": 501})) == (409, "more-than-left")
    assert (await post(client, f"{path}/return")).json()["returned"] == 700
    assert refusal(await post(client, f"{path}/return")) == (409, "more-than-left")
    assert await points_of(client, "r1") == (1900, 0, 0, 0)
    assert (await client.get(path)).json()["returned"] == 700


async def test_P7_an_order_has_the_points_of_the_redemption_it_names(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "r2")
    made = (await post(client, "/v1/members/r2/redemptions", {"points": 600, "reference": "cart"})).json()
    order = shop.paid("o2", shop.d(6), "200", member="r2", id="r2:o2", points_used=600, points_value="6")
    order["data"]["redemption_id"] = made["redemption_id"]
    await ledger.receive(order, at=shop.d(6, "10:00:01"))
    assert await points_of(client, "r2") == (1300, 0, 0, 600), "debited already"
    again = await post(client, f"/v1/redemptions/{made['redemption_id']}/return")
    assert refusal(again) == (409, "redemption-in-order")
    await ledger.receive(shop.cancelled("o2", shop.d(7), member="r2", id="r2:no"), at=shop.d(7, "10:00:01"))
    assert await points_of(client, "r2") == (1900, 0, 0, 0)


async def returned_to(ledger: LedgerUnderTest, member: str) -> list[dict[str, Any]]:
    """The events about points that came back to a member, in order."""
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE key = $1 ORDER BY id", member.encode())
    events: list[Any] = [parse_event(row["value"]) for row in rows]
    return [event["data"] for event in events if event["type"] == "loyalty.points.returned.v1"]


@pytest.mark.parametrize("captured", [False, True])
async def test_mend_a02_P7_what_the_order_does_not_use_is_back_at_once_and_every_answer_says_so(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, captured: bool
) -> None:
    member = f"r3-{captured}"
    await completed_order(ledger, member)
    order = shop.paid("o2", shop.d(6), "100", member=member, id=f"{member}:o2", points_used=300, points_value="3")
    if captured:
        hold = await held(client, member, 500)
        path, named = f"/v1/holds/{hold['hold_id']}", {"hold_id": hold["hold_id"]}
        assert (await post(client, f"{path}/capture")).json()["returned"] == 0
    else:
        made = (await post(client, f"/v1/members/{member}/redemptions", {"points": 500, "reference": "cart"})).json()
        path, named = f"/v1/redemptions/{made['redemption_id']}", {"redemption_id": made["redemption_id"]}
    assert await points_of(client, member) == (1400, 0, 0, 500)
    order["data"] |= named
    await ledger.receive(order, at=shop.d(6, "10:00:01"))
    assert await points_of(client, member) == (1600, 0, 0, 300)
    seen = (await client.get(path)).json()
    assert (seen["points"], seen["returned"], seen["order_id"]) == (500, 200, "o2")
    [event] = await returned_to(ledger, member)
    assert event["points"] == 200
    assert event["balance"]["available"] == 1600
    assert named.items() <= event.items()
    assert (event["cause"]["type"], event["cause"]["id"]) == ("commerce.order.paid.v1", f"{member}:o2")
    booked = (await client.get(f"/v1/members/{member}/orders/o2")).json()
    assert (booked["booked"]["points_used"], booked["facts"]["points_used"], booked["alarms"]) == (300, 300, [])

    await ledger.receive(shop.cancelled("o2", shop.d(7), member=member, id=f"{member}:no"), at=shop.d(7, "10:00:01"))
    assert await points_of(client, member) == (1900, 0, 0, 0)
    assert [event["points"] for event in await returned_to(ledger, member)] == [200, 300]
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert summary["ok"], summary["examples"]


async def test_mend_a03_a06_P2_P8_an_order_tells_what_counted_and_what_was_beyond(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "r4")
    bought = [shop.gift_card("card", "100"), shop.line("tea", "1")]
    order = shop.paid("o2", shop.d(6), bought, member="r4", id="r4:o2", points_used=1500, points_value="15")
    await ledger.receive(order, at=shop.d(6, "10:00:01"))
    assert await points_of(client, "r4") == (1800, 0, 0, 100), "1 of 15 counts: floor(1500 x 1 / 15)"
    seen = (await client.get("/v1/members/r4/orders/o2")).json()
    assert (seen["facts"]["points_used"], seen["booked"]["points_used"]) == (1500, 100)
    assert sorted(alarm["kind"] for alarm in seen["alarms"]) == ["points_beyond_program", "value_beyond_order"]
    said = (await client.get("/v1/inputs", params={"source": order["source"], "id": "r4:o2", "member_id": "r4"})).json()
    assert sorted(said["inputs"][0]["alarms"]) == ["points_beyond_program", "value_beyond_order"]
