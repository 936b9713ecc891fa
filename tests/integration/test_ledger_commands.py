"""Commands over HTTP, on a real PostgreSQL: what they refuse, what a repeat gets, and what is published of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from schemas.events import parse_event
from services.kit.calendar import later, parse_rfc3339, rfc3339, to_micros
from services.ledger.api.commands import public_id
from services.ledger.audit.verify import examine, summarise
from services.ledger.domain.state.outcome import Outcome
from services.ledger.store import ANSWERS_KEPT, forget_answers
from tests.integration.ledger_support import LedgerUnderTest, client_of, completed_order, held, points_of, post, refusal
from tests.model import events as shop

# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_more_than_there_is_is_refused_with_the_balance_that_is(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "n1")
    for path in ("holds", "redemptions"):
        answer = await post(client, f"/v1/members/n1/{path}", {"points": 1901, "reference": path})
        assert refusal(answer) == (409, "insufficient-points")
        assert answer.json()["balance"] == {"available": 1900, "pending": 0, "held": 0, "debt": 0}
    assert await points_of(client, "n1") == (1900, 0, 0, 0)


async def test_a_reference_is_unique_for_the_member_and_kind(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "n2")
    body = {"points": 100, "reference": "same"}
    for path in ("holds", "redemptions"):
        assert (await post(client, f"/v1/members/n2/{path}", body)).status_code == 201
        assert refusal(await post(client, f"/v1/members/n2/{path}", body)) == (409, "reference-used")
    await completed_order(ledger, "n3")
    assert (await post(client, "/v1/members/n3/holds", body)).status_code == 201


async def test_mend_b06_an_erased_member_asks_for_nothing_until_it_registers_anew(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "n4")
    hold = await held(client, "n4", 100)
    erased = shop.erased(shop.d(6), member="n4")
    await ledger.receive(erased, at=shop.d(8))
    late = [shop.signed_in(shop.d(5), member="n4"), shop.refunded("o1", shop.d(5, "11:00"), "200", member="n4")]
    outcomes = await ledger.receive(*late, at=shop.d(8))
    assert [(each.kind, each.detail) for each in outcomes if isinstance(each, Outcome)] == [
        ("refused", "of_an_erased_member")
    ] * 2
    body = {"points": 100, "reference": "r1"}
    asked = [
        ("/v1/members/n4/holds", body),
        ("/v1/members/n4/redemptions", body),
        (f"/v1/holds/{hold['hold_id']}/release", None),
        ("/v1/members/n4/streak-repairs", {"day": "2026-03-05"}),
        ("/v1/transfers", {"from": "n4", "to": "n4b", "points": 5, "reference": "t"}),
    ]
    await completed_order(ledger, "n4b")
    ledger.now = parse_rfc3339(shop.d(8))
    for path, asks in asked:
        assert refusal(await post(client, path, asks)) == (409, "member-erased"), path
    assert await points_of(client, "n4") == (1900, 0, 0, 0), "the hold has ended by itself"
    await ledger.receive(shop.registered(shop.d(9), member="n4"), at=shop.d(9))
    assert (await post(client, "/v1/members/n4/redemptions", body)).status_code == 201
    summary = summarise(*await examine(ledger.settings))
    assert (summary["broken"], summary["examples"]) == (0, [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"points": 0, "reference": "r"}, "points"),
        ({"points": -5, "reference": "r"}, "points"),
        ({"points": 2**53, "reference": "r"}, "points"),
        ({"points": 1.5, "reference": "r"}, "points"),
        ({"points": "5", "reference": "r"}, "points"),
        ({"points": 5}, "reference"),
        ({"points": 5, "reference": ""}, "reference"),
        ({"points": 5, "reference": "r", "ttl_seconds": 0}, "ttl_seconds"),
        ({"points": 5, "reference": "r", "pionts": 1}, "pionts"),
    ],
)
async def test_a_body_that_is_not_valid_names_the_field(
    client: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await post(client, "/v1/members/x1/holds", body)
    assert refusal(answer) == (422, "invalid-request")
    assert answer.json()["field"] == field


async def test_what_nobody_holds_is_unknown(ledger: LedgerUnderTest, client: httpx.AsyncClient, signer: Signer) -> None:
    await completed_order(ledger, "u1")
    hold = await held(client, "u1", 100)
    nowhere = public_id("hold", "u1", "nothing")
    assert refusal(await client.get(f"/v1/holds/{nowhere}")) == (404, "hold-unknown")
    assert refusal(await post(client, f"/v1/holds/{nowhere}/capture")) == (404, "hold-unknown")
    assert refusal(await client.get(f"/v1/redemptions/{nowhere}")) == (404, "redemption-unknown")
    async with client_of(ledger.app(), signer.member_token("u2")) as other:
        assert refusal(await other.get(f"/v1/holds/{hold['hold_id']}")) == (404, "hold-unknown")
        assert refusal(await post(other, f"/v1/holds/{hold['hold_id']}/release")) == (404, "hold-unknown")
        assert refusal(await post(other, "/v1/members/u1/holds", {"points": 1, "reference": "r"})) == (404, "not-found")
    async with client_of(ledger.app(), signer.member_token("u1")) as own:
        assert (await post(own, f"/v1/holds/{hold['hold_id']}/release")).status_code == 200
    async with client_of(ledger.app(), signer.token(scopes=["ledger:read"])) as reader:
        assert refusal(await post(reader, "/v1/members/u1/holds", {"points": 1, "reference": "r"})) == (
            403,
            "forbidden",
        )


# ── the same request again ───────────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_request_gets_the_first_answer_also_a_refusal(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "i1")
    path = "/v1/members/i1/redemptions"
    first = await post(client, path, {"points": 1000, "reference": "a"}, key="one")
    refused = await post(client, path, {"points": 1000, "reference": "b"}, key="two")
    assert (first.status_code, refusal(refused)) == (201, (409, "insufficient-points"))
    ledger.now = later(ledger.now, 60_000_000)
    await post(client, f"/v1/redemptions/{first.json()['redemption_id']}/return")
    for answer, key, reference in ((first, "one", "a"), (refused, "two", "b")):
        again = await post(client, path, {"reference": reference, "points": 1000}, key=key)
        assert (again.status_code, again.content) == (answer.status_code, answer.content)
    other = await post(client, path, {"points": 999, "reference": "a"}, key="one")
    assert refusal(other) == (422, "idempotency-key-reused")
    missing = await client.post(path, json={"points": 1, "reference": "c"})
    assert refusal(missing) == (400, "idempotency-key-missing")
    assert await points_of(client, "i1") == (1900, 0, 0, 0)


async def test_an_answer_is_kept_for_thirty_days(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "i2")
    path, body = "/v1/members/i2/redemptions", {"points": 100, "reference": "a"}
    first = await post(client, path, body, key="old")
    ledger.now = later(ledger.now, 30 * 86_400_000_000 - 1)
    assert (await post(client, path, body, key="old")).content == first.content
    ledger.now = later(ledger.now, 2)
    assert refusal(await post(client, path, body, key="old")) == (409, "reference-used")
    ledger.now = later(ledger.now, 30 * 86_400_000_000)
    async with ledger.pool.acquire() as connection:
        await forget_answers(connection, ledger.settings.shards, ledger.now)
        assert await connection.fetchval("SELECT count(*) FROM answer WHERE at < $1", ledger.now - ANSWERS_KEPT) == 0
        assert await connection.fetchval("SELECT count(*) FROM answer") == 1


async def test_two_clients_that_spend_the_same_points_one_wins(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "c1")
    answers = await asyncio.gather(
        *(post(client, "/v1/members/c1/redemptions", {"points": 1000, "reference": f"r{n}"}) for n in range(8))
    )
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 7}
    assert {answer.json()["balance"]["available"] for answer in answers} == {900}
    assert await points_of(client, "c1") == (900, 0, 0, 1000)


async def test_as_many_commands_as_come_share_a_transaction(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "c3")
    asking = asyncio.gather(
        *(post(client, "/v1/members/c3/redemptions", {"points": 10, "reference": f"r{n}"}) for n in range(200))
    )
    async with ledger.pool.acquire() as connection:
        # Whoever asks first waits for the member's lock, and the others meet behind it however slow the machine is.
        async with connection.transaction():
            await connection.execute(
                "SELECT FROM account JOIN identity USING (shard, account) WHERE member_id = 'c3' FOR UPDATE OF account"
            )
            await asyncio.sleep(1)
            before = await transactions(ledger)
        answers = await asking
    assert Counter(answer.status_code for answer in answers) == {201: 190, 409: 10}
    assert await points_of(client, "c3") == (0, 0, 0, 1900)
    # The first goes alone, the others meet while it is in flight; reads are a few more.
    assert await transactions(ledger) - before < 10


async def test_no_command_waits_for_a_thread(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not asynchronous is run in a thread, which costs a command half of what the rest of it does."""

    async def thread(function: Any, *_: Any, **__: Any) -> Any:
        raise AssertionError(f"{function} is not asynchronous")

    for module in ("dependencies.utils", "routing"):
        monkeypatch.setattr(f"fastapi.{module}.run_in_threadpool", thread)
    await completed_order(ledger, "t1")
    held = await post(client, "/v1/members/t1/holds", {"points": 10, "reference": "h1"})
    assert (await post(client, f"/v1/holds/{held.json()['hold_id']}/capture", {})).status_code == 200
    assert (await post(client, "/v1/members/t1/redemptions", {"points": 10, "reference": "r1"})).status_code == 201
    assert await points_of(client, "t1") == (1880, 0, 0, 20)


async def transactions(ledger: LedgerUnderTest) -> int:
    """Transactions that wrote, by their ids."""
    async with ledger.pool.acquire() as connection:
        return int(await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))


async def test_one_key_sent_many_times_at_once_is_done_once(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "c2")
    body = {"points": 10, "reference": "r"}
    answers = await asyncio.gather(*(post(client, "/v1/members/c2/holds", body, key="once") for _ in range(30)))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert await points_of(client, "c2") == (1890, 10, 0, 0)


async def test_every_movement_is_told_by_the_contract(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "f1")
    hold = await held(client, "f1", 500)
    await post(client, f"/v1/holds/{hold['hold_id']}/capture", {"points": 300})
    made = (await post(client, "/v1/members/f1/redemptions", {"points": 50, "reference": "mug"})).json()
    await post(client, f"/v1/redemptions/{made['redemption_id']}/return")
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE key = 'f1' ORDER BY id")
    events: list[Any] = [parse_event(row["value"]) for row in rows]
    moved = [
        (event["type"].split(".")[2], event["data"]["points"], event["data"].get("from"))
        for event in events
        if event["type"].startswith("loyalty.points.") and event["data"]["member_version"] > 2
    ]
    assert moved == [
        ("held", 500, None),
        ("redeemed", 300, {"held": 300}),
        ("released", 200, None),
        ("redeemed", 50, {"available": 50}),
        ("returned", 50, None),
    ]
    data = next(event["data"] for event in events if event["type"] == "loyalty.points.held.v1")
    assert (data["hold_id"], rfc3339(to_micros(data["hold_expires_at"]))) == (hold["hold_id"], hold["expires_at"])
    assert data["cause"]["type"] == "loyalty.command.hold.v1"


async def test_what_was_spent_holds(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed_order(ledger, "w1")
    for number in range(11):
        answer = await post(client, "/v1/members/w1/redemptions", {"points": 1901, "reference": f"{number}"})
        assert refusal(answer) == (409, "insufficient-points")
    monkeypatch.setattr("services.kit.clock.now", lambda: parse_rfc3339(shop.d(45)))
    summary = summarise(*await examine(ledger.settings))
    assert summary["examples"] == []
    assert summary["ok"]
    assert summary["outcomes"]["refused"] > 10
