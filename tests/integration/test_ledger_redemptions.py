"""Redemptions over HTTP, on a real PostgreSQL: given back in parts, and taken over by orders (P3, P7)."""

from __future__ import annotations

import httpx

from tests.integration.ledger_support import LedgerUnderTest, completed_order, points_of, post, refusal
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
