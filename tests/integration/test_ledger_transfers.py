"""Transfers over HTTP, on a real PostgreSQL: both halves, once each, whatever comes twice or late between them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from schemas.events import parse_event
from services.kit.calendar import later, parse_rfc3339
from services.kit.kafka import Shard, shard_of
from services.ledger.api import commands
from services.ledger.audit.verify import examine, summarise
from services.ledger.inputs import Known
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import (
    DOCUMENT,
    LedgerUnderTest,
    client_of,
    completed_order,
    ledger_on,
    post,
    verified_while,
)
from tests.model import events as shop

SPENDER = ["ledger:read", "ledger:spend"]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another shard does not answer at once is answered later."""
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 0.2)


async def known(ledger: LedgerUnderTest, member: str) -> None:
    await ledger.receive(shop.signed_in(shop.d(5), member=member, id=f"{member}:in"), at="2026-03-05T10:00:01+08:00")


async def send(client: httpx.AsyncClient, *, key: str = "", **fields: Any) -> httpx.Response:
    body = {"reference": "gift", **{name.removesuffix("_"): value for name, value in fields.items()}}
    return await post(client, "/v1/transfers", body, key=key)


async def balance(client: httpx.AsyncClient, member: str) -> dict[str, Any]:
    body: dict[str, Any] = (await client.get(f"/v1/members/{member}/balance")).json()
    return body


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:loyalty:problem:")


async def holds(ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert summary["examples"] == []
    assert summary["ok"]
    return summary


async def test_both_halves_are_booked_and_each_lot_keeps_its_last_day(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed_order(ledger, "a1")
    await known(ledger, "b1")
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 30)
    answer = await ledger.delivering(send(client, from_="a1", to="b1", points=700))
    assert answer.status_code == 201, answer.text
    done = answer.json()
    assert (done["state"], done["from"], done["to"], done["points"], done["balance"]["available"]) == (
        "done", "a1", "b1", 700, 1200,
    )  # fmt: skip
    assert (await client.get(f"/v1/transfers/{done['transfer_id']}")).json()["arrived_at"] == done["arrived_at"]
    sender, receiver = await balance(client, "a1"), await balance(client, "b1")
    assert sender["lifetime"] == {"earned": 1900, "redeemed": 0, "expired": 0, "transferred": -700}
    assert receiver["lifetime"] == {"earned": 5, "redeemed": 0, "expired": 0, "transferred": 700}
    assert receiver["available"] == 705
    assert {"on": "2027-03-01", "points": 700} in receiver["expiring"]


async def test_after_two_seconds_the_answer_is_where_to_look(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "a2")
    await known(ledger, "b2")
    answer = await send(client, from_="a2", to="b2", points=100, key="slow")
    assert (answer.status_code, answer.json()["state"]) == (202, "in_transit")
    where = answer.headers["location"]
    assert (await client.get(where)).json()["state"] == "in_transit"
    await ledger.deliver()
    assert (await client.get(where)).json()["state"] == "done"
    again = await send(client, from_="a2", to="b2", points=100, key="slow")
    assert (again.status_code, again.json()["transfer_id"]) == (201, answer.json()["transfer_id"])
    assert (await balance(client, "a2"))["available"] == 1800


async def test_a_half_that_is_told_twice_is_booked_once(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "a3")
    await known(ledger, "b3")
    await send(client, from_="a3", to="b3", points=100)
    (sent,) = await ledger.internal_messages()
    await ledger.deliver(sent)
    assert await ledger.deliver(sent) == [Known()]
    (arrived,) = await ledger.internal_messages()
    await ledger.deliver(arrived)
    assert await ledger.deliver(arrived) == [Known()]
    assert ((await balance(client, "a3"))["available"], (await balance(client, "b3"))["available"]) == (1800, 105)


async def test_P6_points_that_arrive_pay_debt_first(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "a4")
    await known(ledger, "b4")
    order = shop.paid("o9", shop.d(5), "100", member="b4", id="b4:o9", points_used=305, points_value="3")
    await ledger.receive(order)
    assert (await balance(client, "b4"))["debt"] == 300
    await send(client, from_="a4", to="b4", points=400)
    await ledger.deliver()
    receiver = await balance(client, "b4")
    assert (receiver["debt"], receiver["available"]) == (0, 100)


async def test_P6_points_whose_day_is_over_when_they_arrive_expire(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "a5")
    await known(ledger, "b5")
    present = ledger.now
    ledger.now = parse_rfc3339("2027-03-01T23:59:59+08:00")
    try:
        assert (await send(client, from_="a5", to="b5", points=400)).status_code == 202
        ledger.now = later(ledger.now, 2_000_000)
        await ledger.deliver()
        receiver = await balance(client, "b5")
        assert (receiver["available"], receiver["lifetime"]["expired"]) == (5, 400)
    finally:
        ledger.now = present


async def test_what_cannot_be_sent_is_refused_and_nothing_moves(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, signer: Signer
) -> None:
    await completed_order(ledger, "a6")
    await known(ledger, "b6")
    assert refusal(await send(client, from_="a6", to="b6", points=1901)) == (409, "insufficient-points")
    assert refusal(await send(client, from_="a6", to="a6", points=1)) == (422, "same-member")
    assert refusal(await send(client, from_="a6", to="nobody", points=1)) == (404, "receiver-unknown")
    assert refusal(await send(client, from_="a6", to="b6", points=0)) == (422, "invalid-request")
    assert (await send(client, from_="a6", to="b6", points=1)).status_code == 202
    assert refusal(await send(client, from_="a6", to="b6", points=1)) == (409, "reference-used")
    missing = await client.post("/v1/transfers", json={"from": "a6", "to": "b6", "points": 1, "reference": "x"})
    assert refusal(missing) == (400, "idempotency-key-missing")
    assert refusal(await client.get(f"/v1/transfers/{'0' * 24}")) == (404, "transfer-unknown")
    async with client_of(ledger.app(), signer.member_token("b6")) as other:
        assert refusal(await send(other, from_="a6", to="b6", points=1, reference="mine")) == (404, "not-found")
    async with client_of(ledger.app(), signer.member_token("a6")) as own:
        assert (await send(own, from_="a6", to="b6", points=1, reference="own")).status_code == 202
    await ledger.deliver()
    assert (await balance(client, "a6"))["available"] == 1898


async def test_mend_a11_both_halves_are_told_by_the_contract_with_the_sign_of_the_balance(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "a7")
    await known(ledger, "b7")
    made = (await send(client, from_="a7", to="b7", points=250)).json()
    await ledger.deliver()
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE key IN ('a7', 'b7') ORDER BY id")
    events: list[Any] = [parse_event(row["value"]) for row in rows]
    halves = [event for event in events if event["type"] == "loyalty.points.transferred.v1"]
    assert [(each["subject"], each["data"]["points"], each["data"]["counterpart"]) for each in halves] == [
        ("a7", -250, "b7"),
        ("b7", 250, "a7"),
    ]
    assert {each["data"]["transfer_id"] for each in halves} == {made["transfer_id"]}
    for each in halves:
        own = await balance(client, each["subject"])
        lifetime = own["lifetime"]
        assert lifetime["transferred"] == each["data"]["points"]
        gone = lifetime["redeemed"] + lifetime["expired"] - lifetime["transferred"]
        assert lifetime["earned"] == own["available"] + own["held"] - own["debt"] + gone
    entries = (await client.get("/v1/members/b7/entries?kind=transferred")).json()["entries"]
    assert [(entry["debit"], entry["points"]) for entry in entries] == [("in_transit", 250)]
    explained = (await client.get(f"/v1/members/b7/entries/{entries[0]['entry']}/explanation")).json()
    assert explained["event"]["type"] == "loyalty.transfer.sent.v1"


async def test_what_was_sent_holds_on_its_way_and_at_rest(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed_order(ledger, "a8")
    await known(ledger, "b8")
    await send(client, from_="a8", to="b8", points=500)
    assert (await holds(ledger, monkeypatch))["points"]["in_transit"] == 500
    (sent,) = await ledger.internal_messages()
    await ledger.deliver(sent)
    assert (await holds(ledger, monkeypatch))["points"]["in_transit"] == 0
    await ledger.deliver()
    assert (await holds(ledger, monkeypatch))["points"]["in_transit"] == 0


async def test_a_half_without_the_other_is_found(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await completed_order(ledger, "a9")
    await known(ledger, "b9")
    made = (await send(client, from_="a9", to="b9", points=500)).json()
    await ledger.deliver()
    await ledger.tamper("UPDATE fact SET key = 'arrival:other' WHERE key = $1", f"arrival:{made['transfer_id']}")
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    said = [example["detail"] for example in summary["examples"] if example["check"] == "transit"]
    assert said == [
        f"transfer {made['transfer_id']} is done, and 500 points of it did not arrive",
        "transfer other: 500 points arrived that were not sent",
    ]
    await ledger.tamper("UPDATE fact SET key = $1 WHERE key = 'arrival:other'", f"arrival:{made['transfer_id']}")
    await holds(ledger, monkeypatch)


async def test_X1_what_the_program_does_not_let_go_is_a_409_and_nothing_moves(
    make_database: MakeDatabase, signer: Signer
) -> None:
    """A member of 1,900 points gives them to another and sends the goods back: not beyond what the program lets go."""
    limits = {"allowed": True, "minimum": 100, "per_day": 500, "per_month": 700}
    async with ledger_on(make_database(), publish=False, jwks_file=signer.jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, DOCUMENT | {"transfers": limits})
        await completed_order(ledger, "a")
        await known(ledger, "b")
        async with client_of(ledger.app(), signer.token(scopes=SPENDER)) as client:
            few, many = [await send(client, from_="a", to="b", points=points) for points in (99, 501)]
            assert refusal(few) == (409, "transfer-below-minimum")
            assert (refusal(many), many.json()["limit"], many.json()["given"]) == ((409, "beyond-day-limit"), 500, 0)
            assert (await balance(client, "a"))["available"] == 1900
            assert (await send(client, from_="a", to="b", points=500, reference="one")).status_code == 202
            ledger.now = later(ledger.now, 86_400_000_000)
            beyond = await send(client, from_="a", to="b", points=300, reference="two")
            assert (refusal(beyond), beyond.json()["given"]) == ((409, "beyond-month-limit"), 500)
            assert "has given 500 in this one" in beyond.json()["detail"]
            assert (await send(client, from_="a", to="b", points=200, reference="two")).status_code == 202
            await ledger.deliver()
            assert (await balance(client, "a"))["available"] == 1200
            assert (await balance(client, "b"))["available"] == 705


async def test_X1_a_program_may_let_nobody_give_points_away(make_database: MakeDatabase, signer: Signer) -> None:
    async with ledger_on(make_database(), publish=False, jwks_file=signer.jwks_file) as ledger:
        async with ledger.pool.acquire() as connection:
            await publish_document(connection, DOCUMENT | {"transfers": {"allowed": False}})
        await completed_order(ledger, "a")
        await known(ledger, "b")
        async with client_of(ledger.app(), signer.token(scopes=SPENDER)) as client:
            assert refusal(await send(client, from_="a", to="b", points=100)) == (409, "transfers-not-allowed")
            assert (await balance(client, "a"))["available"] == 1900


def members_on(ledger: LedgerUnderTest, *shards: int) -> list[str]:
    """A member of each of these shards."""
    names = [f"seam.{number}" for number in range(400)]
    return [next(name for name in names if shard_of(name, ledger.settings.shards) == shard) for shard in shards]


@pytest.mark.parametrize(("sender_on", "receiver_on"), [(2, 9), (11, 4)])
async def test_mend_c07_a_transfer_between_the_snapshots_of_two_shards_is_no_fault(
    ledger: LedgerUnderTest,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    sender_on: int,
    receiver_on: int,
) -> None:
    """Read before and behind: as if it had arrived and was never sent, or was done and had never arrived."""
    sender, receiver = members_on(ledger, sender_on, receiver_on)
    await completed_order(ledger, sender)
    await known(ledger, receiver)
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)

    async def transfer() -> None:
        await send(client, from_=sender, to=receiver, points=500)
        await ledger.deliver()

    summary = await verified_while(ledger, Shard(min(sender_on, receiver_on)), transfer)
    assert summary["examples"] == []
    await holds(ledger, monkeypatch)


async def test_mend_c07_a_half_that_is_missing_for_long_is_a_fault_all_the_same(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = members_on(ledger, 3, 8)
    await completed_order(ledger, sender)
    await known(ledger, receiver)
    made = (await send(client, from_=sender, to=receiver, points=500)).json()
    await ledger.deliver()
    copy = (
        "INSERT INTO fact SELECT 9, account + 1000000, key, value FROM fact WHERE key = $1",
        f"arrival:{made['transfer_id']}",
    )
    await ledger.tamper(*copy)  # it arrived a second time, somewhere else
    present = ledger.now
    monkeypatch.setattr("services.kit.clock.now", lambda: later(present, 3600 * 1_000_000))
    summary = summarise(*await examine(ledger.settings))
    said = [example["detail"] for example in summary["examples"] if example["check"] == "transit"]
    assert f"transfer {made['transfer_id']}: 500 points arrived that were not sent" in said
    await ledger.tamper("DELETE FROM fact WHERE key = $1 AND shard = 9", copy[1])
    await holds(ledger, monkeypatch)
