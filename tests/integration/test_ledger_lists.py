"""A member's lists over HTTP, on a real PostgreSQL: whole, the newest first, whatever the pages, and of nobody else."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from services.kit.calendar import later
from services.kit.kafka import shard_of
from tests.integration.ledger_support import (
    LedgerUnderTest,
    client_of,
    completed_order,
    held,
    points_of,
    post,
    refusal,
)
from tests.model import events as shop

LISTS = ("orders", "holds", "redemptions", "transfers")


async def listed(client: httpx.AsyncClient, member: str, name: str, limit: int = 200) -> list[dict[str, Any]]:
    """A whole list, in pages of `limit`."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        query: dict[str, str | int] = {"limit": limit, **({} if cursor is None else {"cursor": cursor})}
        answer = await client.get(f"/v1/members/{member}/{name}", params=query)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len(body[name]) <= limit
        found += body[name]
        cursor = body["next_cursor"]
        if cursor is None:
            return found
        assert len(body[name]) == limit


async def test_mend_a10_orders_are_listed_by_paid_time_and_those_that_wait_last(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    member = "lists.orders"
    events = [shop.paid(f"o{day:02}", shop.d(day), "10", member=member, id=f"p{day}") for day in range(1, 8)]
    same_time = [shop.paid(f"s{n}", shop.d(4), "10", member=member, id=f"s{n}", shop="east") for n in range(3)]
    parked = [shop.refunded(f"w{n}", shop.d(2), "1", member=member, id=f"w{n}") for n in range(2)]
    await ledger.receive(*parked, *events, *same_time, at=shop.d(8))
    await ledger.receive(shop.cancelled("o06", shop.d(8), member=member), at=shop.d(8, "11:00"))
    await ledger.receive(shop.completed("o07", shop.d(8), member=member), at=shop.d(8, "12:00"))
    expected = ["o07", "o06", "o05", "o04", "s2", "s1", "s0", "o03", "o02", "o01", "w0", "w1"]
    whole = await listed(client, member, "orders")
    assert sorted(each["order_id"] for each in whole[3:7]) == ["o04", "s0", "s1", "s2"]
    assert [each["order_id"] for each in whole if each["shop"] == ""] == [each for each in expected if each[0] != "s"]
    for limit in (1, 2, 3, 5, 12):
        assert await listed(client, member, "orders", limit) == whole
    by_id = {each["order_id"]: each for each in whole}
    assert (by_id["o07"]["status"], by_id["o07"]["confirmed"], by_id["o07"]["successful"]) == ("completed", 10, True)
    assert (by_id["o06"]["status"], by_id["o06"]["pending"]) == ("cancelled", 0)
    assert (by_id["o05"]["status"], by_id["o05"]["pending"]) == ("paid", 10)
    assert (by_id["w0"]["status"], by_id["w0"]["paid_at"]) == ("parked", None)
    for each in whole:
        one = (
            await client.get(f"/v1/members/{member}/orders/{each['order_id']}", params={"shop": each["shop"]})
        ).json()
        assert (one["status"], one["facts"]["paid_at"], one["successful"], one["due"], one["alarms"]) == tuple(
            each[name] for name in ("status", "paid_at", "successful", "due", "alarms")
        )
        assert {name: one["booked"][name] for name in ("pending", "confirmed", "points_used", "expires_on")} == {
            name: each[name] for name in ("pending", "confirmed", "points_used", "expires_on")
        }
    ledger.now = later(ledger.now, 40 * 86_400_000_000)
    due = {each["order_id"]: each["status"] for each in await listed(client, member, "orders")}
    assert due["o05"] == "completed", "due by now, though nothing has booked it"


async def test_mend_a10_holds_redemptions_and_transfers_are_listed_the_newest_first(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "lists.a", "lists.b")
    holds = [(await held(client, "lists.a", 10 + n, reference=f"cart{n}"))["hold_id"] for n in range(5)]
    await post(client, f"/v1/holds/{holds[0]}/capture", {"points": 4})
    await post(client, f"/v1/holds/{holds[1]}/release")
    assert refusal(await post(client, "/v1/members/lists.a/holds", {"points": 9_999, "reference": "no"}))[0] == 409
    redemptions = []
    for n in range(4):
        answer = await post(client, "/v1/members/lists.a/redemptions", {"points": 5, "reference": f"r{n}"})
        redemptions.append(answer.json()["redemption_id"])
    await post(client, f"/v1/redemptions/{redemptions[2]}/return", {"points": 2})
    transfers = []
    for n in range(3):
        sender, receiver = ("lists.a", "lists.b") if n != 1 else ("lists.b", "lists.a")
        body = {"from": sender, "to": receiver, "points": 7, "reference": f"t{n}"}
        transfers.append((await post(client, "/v1/transfers", body)).json()["transfer_id"])
        if n < 2:
            await ledger.deliver()
    for name, ids in (("holds", holds), ("redemptions", redemptions), ("transfers", transfers)):
        whole = await listed(client, "lists.a", name)
        assert [each[f"{name[:-1]}_id"] for each in whole] == ids[::-1]
        for limit in (1, 2, 3):
            assert await listed(client, "lists.a", name, limit) == whole
        for each in whole:
            one = (await client.get(f"/v1/{name}/{each[f'{name[:-1]}_id']}")).json()
            assert {key: value for key, value in one.items() if key in each} == each
    states = [each["state"] for each in await listed(client, "lists.a", "holds")]
    assert states == ["open", "open", "open", "released", "captured"]
    ledger.now = later(ledger.now, 901 * 1_000_000)
    states = [each["state"] for each in await listed(client, "lists.a", "holds")]
    assert states == ["timed_out", "timed_out", "timed_out", "released", "captured"]
    sent = [(each["from"], each["to"], each["state"]) for each in await listed(client, "lists.a", "transfers")]
    assert sent == [
        ("lists.a", "lists.b", "in_transit"), ("lists.b", "lists.a", "done"), ("lists.a", "lists.b", "done")
    ]  # fmt: skip
    other = await listed(client, "lists.b", "transfers")
    assert [each["transfer_id"] for each in other] == [transfers[1], transfers[0]], "the third has not come yet"
    assert (other[0]["reference"], "reference" in other[1]) == ("t1", False)


async def test_mend_a10_lists_are_empty_unknown_or_nobody_elses(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, signer: Signer
) -> None:
    await ledger.receive(shop.signed_in(shop.d(1), member="lists.c", id="in"), at=shop.d(1, "10:00:01"))
    for name in LISTS:
        assert await listed(client, "lists.c", name) == []
        assert refusal(await client.get(f"/v1/members/lists.nobody/{name}")) == (404, "member-unknown")
        for cursor in ("x", "%", "1.1", "-1", "💣", "AAAA", "k8AB", ""):
            answer = await client.get(f"/v1/members/lists.c/{name}", params={"cursor": cursor})
            assert refusal(answer) == (422, "invalid-request")
            assert answer.json()["field"] == "query.cursor"
        async with client_of(ledger.app(), signer.member_token("lists.d")) as stranger:
            assert refusal(await stranger.get(f"/v1/members/lists.c/{name}")) == (404, "not-found")
        async with client_of(ledger.app(), signer.token(scopes=["events:write"])) as writer:
            assert (await writer.get(f"/v1/members/lists.c/{name}")).status_code == 403


@pytest.mark.parametrize("rows", [20_000])
async def test_mend_a10_a_member_of_many_rows_is_listed_a_page_at_a_time(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, rows: int
) -> None:
    """20,000 redemptions, one hold and 20,000 orders: no page takes longer for it."""
    await completed_order(ledger, "lists.many")
    await held(client, "lists.many", 10)
    await post(client, "/v1/members/lists.many/redemptions", {"points": 5, "reference": "first"})
    shard = shard_of("lists.many", ledger.settings.shards)
    where = f"shard = {shard} AND account = (SELECT account FROM identity WHERE member_id = 'lists.many')"
    await ledger.tamper(
        f"""
        INSERT INTO journal
        SELECT shard, sha256(n::text::bytea), at, account, version + n, now, type, outcome, input, record, head, format
        FROM journal, generate_series(1, {rows}) n WHERE {where} AND type = 'redeem'
        """
    )
    await ledger.tamper(
        f"""
        INSERT INTO orders
        SELECT shard, account, ref || n, paid_at - n * interval '1 minute', due, success_from, success_until, state
        FROM orders, generate_series(1, {rows}) n WHERE {where}
        """
    )
    slowest = 0.0
    for name in ("orders", "redemptions", "holds"):
        path, cursor = f"/v1/members/lists.many/{name}", None
        await client.get(path)
        for _ in range(5):
            began = time.perf_counter()
            body = (await client.get(path, params={} if cursor is None else {"cursor": cursor})).json()
            slowest = max(slowest, time.perf_counter() - began)
            cursor = body["next_cursor"]
            if cursor is None:
                break
        assert len(body[name]) == (1 if name == "holds" else 50)
    print(f"the slowest page of {rows:,} rows: {slowest * 1000:.1f} ms")
    assert slowest < 0.5
    assert (await points_of(client, "lists.many"))[1] == 10
