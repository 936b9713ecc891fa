"""Rewards over HTTP, on a real PostgreSQL: issued, sold out exactly, given back, and told for fulfilment."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from deploy.local.tokens import Signer
from schemas.events import RefusalReason, Refused, parse_event
from schemas.program import Program
from services.kit.cloudevent import HEADERS
from services.kit.kafka import Record, partition_of
from services.ledger.api import commands
from services.ledger.audit.verify import examine, summarise
from services.ledger.consumer import Decoder
from services.ledger.inputs import Known
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import DOCUMENT, LedgerUnderTest, client_of, completed_order, ledger_on, post
from tests.model import events as shop

REWARDS: list[dict[str, Any]] = [
    {"reward": "mug", "kind": "gift", "points": 500, "stock": 3},
    {"reward": "spoon", "kind": "gift", "points": 100, "stock": 2},
    {"reward": "ten-off", "kind": "coupon", "points": 300, "codes": "pool-1"},
    {"reward": "teapot", "kind": "points_cash", "points": 900, "price": "59.00"},
    {"reward": "shipping", "kind": "free_shipping", "points": 200},
    {"reward": "upgrade", "kind": "tier", "points": 1000, "tier": "vip", "days": 30},
    {
        "reward": "draw",
        "kind": "lottery",
        "points": 10,
        "prizes": [
            {"prize": "cup", "chance": "0.25", "reward": "shipping"},
            {"prize": "coins", "chance": "0.5", "points": 25},
        ],
    },
]


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    document = Program.from_document({**DOCUMENT, "redeem": {"rewards": REWARDS}}).document()
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as under_test:
        async with under_test.pool.acquire() as connection:
            await publish_document(connection, document)
        yield under_test


@pytest.fixture(scope="module")
async def client(ledger: LedgerUnderTest, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    scopes = ["ledger:read", "ledger:spend", "ledger:adjust"]
    async with client_of(ledger.app(), signer.token(scopes=scopes)) as made:
        yield made


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 30)


async def redeem(client: httpx.AsyncClient, member: str, reward: str, reference: str = "r", key: str = "") -> Any:
    body = {"reward": reward, "reference": reference}
    return await post(client, f"/v1/members/{member}/redemptions", body, key=key)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["type"].removeprefix("urn:loyalty:problem:")


async def balance(client: httpx.AsyncClient, member: str) -> dict[str, Any]:
    body: dict[str, Any] = (await client.get(f"/v1/members/{member}/balance")).json()
    return body


async def left(client: httpx.AsyncClient, reward: str) -> Any:
    rows = (await client.get("/v1/rewards")).json()["rewards"]
    return next(row.get("left") for row in rows if row["reward"] == reward)


async def told_of(ledger: LedgerUnderTest, member: str) -> list[Any]:
    async with ledger.pool.acquire() as connection:
        rows = await connection.fetch("SELECT value FROM outbox WHERE key = $1 ORDER BY id", member.encode())
    return [parse_event(row["value"]) for row in rows]


async def test_what_is_not_counted_is_issued_at_once(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "p1")
    made = await redeem(client, "p1", "shipping")
    assert (made.status_code, made.json()["state"], made.json()["balance"]["available"]) == (201, "issued", 1700)
    issued = [event for event in await told_of(ledger, "p1") if event["type"] == "loyalty.reward.issued.v1"]
    assert [(each["data"]["reward"], each["data"]["kind"], each["data"]["points"]) for each in issued] == [
        ("shipping", "free_shipping", 200)
    ]
    assert issued[0]["data"]["redemption_id"] == made.json()["redemption_id"]


async def test_a_gift_is_granted_by_its_stock(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "g1")
    before = await left(client, "mug")
    made = await ledger.delivering(redeem(client, "g1", "mug"))
    assert (made.status_code, made.json()["state"], made.json()["points"]) == (201, "issued", 500)
    assert await left(client, "mug") == before - 1
    own = await balance(client, "g1")
    assert (own["available"], own["lifetime"]) == (1400, {"earned": 1900, "redeemed": 500, "expired": 0})
    kinds = [event["type"].removeprefix("loyalty.") for event in await told_of(ledger, "g1")][-2:]
    assert kinds == ["points.redeemed.v1", "reward.issued.v1"], "the points went once"
    back = await post(client, f"/v1/redemptions/{made.json()['redemption_id']}/return")
    assert back.status_code == 200
    await ledger.deliver()
    assert (await left(client, "mug"), (await balance(client, "g1"))["available"]) == (before, 1900)


async def test_mend_a11_a_reward_given_back_in_full_is_returned_and_no_longer_issued(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await completed_order(ledger, "g2")
    made = await ledger.delivering(redeem(client, "g2", "mug"))
    path = f"/v1/redemptions/{made.json()['redemption_id']}"
    part = await post(client, f"{path}/return", {"points": 200})
    assert (part.json()["state"], part.json()["returned"]) == ("issued", 200)
    rest = await post(client, f"{path}/return")
    assert (rest.json()["state"], rest.json()["returned"]) == ("returned", 500)
    assert (await client.get(path)).json()["state"] == "returned"


async def test_sold_out_is_exact_and_gives_the_points_back(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    members = [f"s{number}" for number in range(12)]
    await completed_order(ledger, *members)
    stock = await left(client, "spoon")
    answers = await ledger.delivering(asyncio.gather(*(redeem(client, member, "spoon") for member in members)))
    assert Counter(answer.status_code for answer in answers) == {201: stock, 409: 12 - stock}
    assert {refusal(answer) for answer in answers if answer.status_code == 409} == {(409, "sold-out")}
    for member, answer in zip(members, answers, strict=True):
        own = await balance(client, member)
        spent = 100 if answer.status_code == 201 else 0
        assert (own["available"], own["lifetime"]["redeemed"]) == (1900 - spent, spent)
    assert await left(client, "spoon") == 0
    loser = members[[answer.status_code for answer in answers].index(409)]
    kinds = [event["type"].split(".")[2] for event in await told_of(ledger, loser)][-2:]
    assert kinds == ["redeemed", "returned"]


async def test_a_code_is_given_once(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "k1", "k2", "k3")
    assert refusal(await ledger.delivering(redeem(client, "k1", "ten-off", "early"))) == (409, "sold-out")
    filled = await post(client, "/v1/pools/pool-1/codes", {"codes": ["AAA", "BBB", "AAA"]})
    assert filled.json() == {"pool": "pool-1", "added": 2, "left": 2}
    assert (await post(client, "/v1/pools/pool-1/codes", {"codes": ["BBB"]})).json()["added"] == 2
    asked = (redeem(client, member, "ten-off") for member in ("k1", "k2", "k3"))
    answers = await ledger.delivering(asyncio.gather(*asked))
    codes = [answer.json().get("code") for answer in answers]
    assert sorted(code for code in codes if code) == ["AAA", "BBB"]
    assert await left(client, "ten-off") == 0
    lucky = next(answer for answer in answers if answer.status_code == 201).json()
    issued = (await told_of(ledger, lucky["member_id"]))[-1]
    assert (issued["type"], issued["data"]["code"]) == ("loyalty.reward.issued.v1", lucky["code"])


async def test_while_the_stock_is_asked_the_answer_is_where_to_look(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 0.1)
    await completed_order(ledger, "w1")
    waiting = await redeem(client, "w1", "mug", key="slow")
    assert (waiting.status_code, waiting.json()["state"]) == (202, "asked")
    where = waiting.headers["location"]
    assert refusal(await post(client, f"{where}/return")) == (409, "reward-asked")
    own = await balance(client, "w1")
    assert (own["available"], own["lifetime"]["transferred"]) == (1400, -500)
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert (summary["ok"], summary["points"]["in_transit"]) == (True, 500)
    (asked,) = await ledger.internal_messages()
    await ledger.deliver(asked)
    assert await ledger.deliver(asked) == [Known()]
    (answered,) = await ledger.internal_messages()
    await ledger.deliver(answered)
    assert await ledger.deliver(answered) == [Known()]
    assert (await client.get(where)).json()["state"] == "issued"
    again = await redeem(client, "w1", "mug", key="slow")
    assert (again.status_code, again.json()["state"]) == (201, "issued")


async def test_a_draw_can_be_drawn_again_from_its_nonce(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    await completed_order(ledger, "d1")
    expected, prizes = 1900, Counter[str | None]()
    for number in range(24):
        made = (await redeem(client, "d1", "draw", f"ticket {number}")).json()
        drawn = sha256(f"{made['draw']['nonce']}:{made['redemption_id']}".encode()).digest()[:8]
        place = Fraction(int.from_bytes(drawn), 2**64)
        prize = "cup" if place < Fraction(1, 4) else "coins" if place < Fraction(3, 4) else None
        assert made["draw"]["prize"] == prize
        assert made["draw"]["reward"] == ("shipping" if prize == "cup" else None)
        expected += 15 if prize == "coins" else -10
        prizes[prize] += 1
    assert (await balance(client, "d1"))["available"] == expected
    issued = [event for event in await told_of(ledger, "d1") if event["type"] == "loyalty.reward.issued.v1"]
    assert [(each["data"]["reward"], each["data"]["prize"]) for each in issued] == [("shipping", "cup")] * prizes["cup"]
    assert refusal(await post(client, f"/v1/redemptions/{made['redemption_id']}/return")) == (409, "reward-drawn")


async def test_what_cannot_be_bought_is_refused(
    ledger: LedgerUnderTest, client: httpx.AsyncClient, signer: Signer
) -> None:
    await completed_order(ledger, "n1")
    assert refusal(await redeem(client, "n1", "yacht")) == (404, "reward-unknown")
    await redeem(client, "n1", "upgrade")
    assert refusal(await redeem(client, "n1", "upgrade", "again")) == (409, "insufficient-points")
    assert refusal(await redeem(client, "n1", "shipping")) == (409, "reference-used")
    path = "/v1/members/n1/redemptions"
    for body in ({"reference": "r2"}, {"reference": "r2", "points": 1, "reward": "mug"}):
        assert refusal(await post(client, path, body)) == (422, "invalid-request")
    async with client_of(ledger.app(), signer.member_token("n1")) as own:
        made = (await redeem(own, "n1", "shipping", "own")).json()
        assert refusal(await post(own, f"/v1/redemptions/{made['redemption_id']}/return")) == (403, "forbidden")
        assert refusal(await post(own, "/v1/pools/pool-1/codes", {"codes": ["MINE"]})) == (403, "forbidden")


async def test_the_catalogue_says_what_is_left(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/v1/rewards")).json()
    rows = {row["reward"]: row for row in answer["rewards"]}
    assert list(rows) == [row["reward"] for row in REWARDS]
    assert (rows["teapot"]["price"], rows["upgrade"]["tier"], rows["draw"]["prizes"][0]["chance"]) == (
        "59.00", "vip", "0.25",
    )  # fmt: skip
    assert [name for name, row in rows.items() if "left" in row] == ["mug", "spoon", "ten-off"]


async def test_nobody_speaks_for_the_account_of_a_reward(ledger: LedgerUnderTest) -> None:
    event = shop.signed_in(shop.d(5), member="reward:mug")
    key = b"reward:mug"
    record = Record("commerce.signins.v1", partition_of(key, 16), 0, ledger.now, key, orjson.dumps(event), HEADERS)
    refused = Decoder(ledger.ledger, 16)(record)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.field) == (RefusalReason.BROKEN_FIELD, "subject")


async def test_what_was_bought_holds(ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    await ledger.deliver()
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert summary["examples"] == []
    assert (summary["ok"], summary["points"]["in_transit"]) == (True, 0)
