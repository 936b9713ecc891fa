"""Holds over HTTP, on a real PostgreSQL: captured, released, over, and taken over by orders (P5, P7)."""

from __future__ import annotations

from typing import Any

import httpx

from services.kit.calendar import later
from tests.integration.ledger_support import LedgerUnderTest, completed_order, held, points_of, post, refusal
from tests.model import events as shop


def naming(hold: dict[str, Any], order: dict[str, Any]) -> dict[str, Any]:
    order["data"]["hold_id"] = hold["hold_id"]
    return order


async def test_P5_a_hold_is_captured_in_part_and_the_rest_released(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "h1")
    hold = await held(client, "h1", 500)
    assert (hold["state"], hold["points"], hold["balance"]["available"], hold["balance"]["held"]) == (
        "open", 500, 1400, 500,
    )  # fmt: skip
    assert hold["expires_at"] == "2026-03-05T02:15:01Z", "900 seconds if nothing is said"
    captured = await post(client, f"/v1/holds/{hold['hold_id']}/capture", {"points": 300})
    assert (captured.status_code, captured.json()["captured"]) == (200, 300)
    assert await points_of(client, "h1") == (1600, 0, 0, 300)
    seen = (await client.get(f"/v1/holds/{hold['hold_id']}")).json()
    assert (seen["state"], seen["captured"], seen["member_id"]) == ("captured", 300, "h1")


async def test_P5_a_hold_ends_once(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "h2")
    hold = await held(client, "h2", 500)
    released = await post(client, f"/v1/holds/{hold['hold_id']}/release")
    assert (released.status_code, released.json()["state"]) == (200, "released")
    for path in ("capture", "release"):
        again = await post(client, f"/v1/holds/{hold['hold_id']}/{path}")
        assert refusal(again) == (409, "hold-over")
    assert await points_of(client, "h2") == (1900, 0, 0, 0)


async def test_P5_a_hold_whose_time_is_over_is_free_again_before_anything_is_booked(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "h3")
    hold = await held(client, "h3", 500, ttl_seconds=60)
    ledger.now = later(ledger.now, 60_000_000 - 1)
    assert await points_of(client, "h3") == (1400, 500, 0, 0)
    ledger.now = later(ledger.now, 1)
    assert await points_of(client, "h3") == (1900, 0, 0, 0)
    seen = (await client.get(f"/v1/holds/{hold['hold_id']}")).json()
    assert (seen["state"], seen["ended_at"]) == ("timed_out", seen["expires_at"])
    assert refusal(await post(client, f"/v1/holds/{hold['hold_id']}/capture")) == (409, "hold-over")
    await ledger.sweep("h3")
    assert await points_of(client, "h3") == (1900, 0, 0, 0)


async def test_P7_an_order_that_names_a_hold_captures_it_and_a_cancellation_gives_it_back(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "h4")
    hold = await held(client, "h4", 1000)
    order = naming(hold, shop.paid("o2", shop.d(6), "200", member="h4", id="h4:o2", points_used=800, points_value="8"))
    await ledger.receive(order, at=shop.d(5, "10:10:00"))
    assert await points_of(client, "h4") == (1100, 0, 0, 800)
    seen = (await client.get(f"/v1/holds/{hold['hold_id']}")).json()
    assert (seen["state"], seen["captured"], seen["order_id"]) == ("captured", 800, "o2")
    await ledger.receive(shop.cancelled("o2", shop.d(7), member="h4", id="h4:o2:no"), at=shop.d(7, "10:00:01"))
    assert await points_of(client, "h4") == (1900, 0, 0, 0)


async def test_O5_an_order_cancelled_before_it_is_paid_captures_its_hold_and_returns_it(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "h5")
    hold = await held(client, "h5", 500)
    await ledger.receive(shop.cancelled("o2", shop.d(7), member="h5", id="h5:no"), at=shop.d(5, "10:01:00"))
    order = naming(hold, shop.paid("o2", shop.d(6), "200", member="h5", id="h5:o2", points_used=500, points_value="5"))
    await ledger.receive(order, at=shop.d(5, "10:02:00"))
    assert await points_of(client, "h5") == (1900, 0, 0, 0)
    kinds = [entry["kind"] for entry in (await client.get("/v1/members/h5/entries")).json()["entries"]]
    assert kinds[:2] == ["returned", "redeemed"]
    assert (await client.get(f"/v1/holds/{hold['hold_id']}")).json()["state"] == "captured"
