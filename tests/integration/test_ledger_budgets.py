"""Campaigns with a budget on a real PostgreSQL: many orders and one budget, what HTTP says of it, and `verify` (N6)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.tokens import Signer
from schemas.events import RefusalReason, Refused
from schemas.program import Program
from services.kit.cloudevent import HEADERS
from services.kit.kafka import Record, partition_of, shard_of
from services.ledger.audit.verify import examine, summarise
from services.ledger.consumer import Decoder
from services.ledger.domain.rules.budgets import BUDGET_SPENT
from services.ledger.domain.state.outcome import Outcome
from services.ledger.inputs import Known
from services.ledger.publication import publish_document
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import (
    DOCUMENT,
    LedgerUnderTest,
    client_of,
    ledger_on,
    reader_token,
    verified_while,
)
from tests.model import events as shop

CAMPAIGN = {"from": "2026-03-01T00:00:00+08:00", "to": "2026-04-01T00:00:00+08:00", "multiplier": "2"}
RULES: list[dict[str, Any]] = [
    {"rule": "race", "on": "order", "campaign": CAMPAIGN | {"channels": ["race"], "budget": 1050}},
    {"rule": "gift", "on": "order", "campaign": CAMPAIGN | {"channels": ["gift"], "budget": 150}},
    {"rule": "tea", "on": "order", "campaign": CAMPAIGN | {"channels": ["tea"], "include": {"categories": ["tea"]}}},
]
GIFT = "campaign:gift:20260228T160000Z"


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[LedgerUnderTest]:
    document = Program.from_document({**DOCUMENT, "earn": [*DOCUMENT["earn"], *RULES]}).document()
    async with ledger_on(make_database(), publish=False, jwks_file=jwks_file) as under_test:
        async with under_test.pool.acquire() as connection:
            await publish_document(connection, document)
        yield under_test


@pytest.fixture(scope="module")
async def client(ledger: LedgerUnderTest, signer: Signer) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ledger.app(), reader_token(signer)) as made:
        yield made


async def pay(ledger: LedgerUnderTest, member: str, amount: str = "100", channel: str = "gift") -> None:
    event = shop.paid("o1", shop.d(2), amount, channel=channel, member=member, id=f"{member}:paid")
    await ledger.receive(event, at=shop.d(2, "10:00:01"))


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def budget_of(client: httpx.AsyncClient, member: str) -> Any:
    (share,) = (await get(client, f"/v1/members/{member}/orders/o1"))["booked"]["budgets"]
    return share


async def granted(ledger: LedgerUnderTest, rule: str) -> int:
    """What the entries of all members say that a campaign gave."""
    async with ledger.pool.acquire() as connection:
        points = await connection.fetchval(
            "SELECT sum(points * CASE WHEN debit = 'issued' THEN 1 WHEN credit = 'issued' THEN -1 ELSE 0 END) "
            "FROM entry WHERE rule = $1",
            rule,
        )
    return int(points or 0)


async def verified(ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    summary = summarise(*await examine(ledger.settings))
    assert summary["examples"] == []


async def deliver_in_disorder(ledger: LedgerUnderTest, rng: random.Random) -> None:
    """Deliver the messages between shards in any order and partly again, several shards at once, until none is left."""
    while messages := await ledger.internal_messages():
        rng.shuffle(messages)
        by_shard: dict[int, list[Record]] = {}
        for message in [*messages, *rng.sample(messages, len(messages) // 4)]:
            by_shard.setdefault(message.partition, []).append(message)
        await asyncio.gather(*(ledger.deliver(*each) for each in by_shard.values()))


async def test_N6_members_of_many_shards_share_a_budget_exactly(
    ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random("race")
    members = [f"racer.{number}" for number in range(24)]
    assert len({shard_of(member, ledger.settings.shards) for member in members}) > 8
    await asyncio.gather(*(pay(ledger, member, channel="race") for member in members))
    await deliver_in_disorder(ledger, rng)
    assert await granted(ledger, "race") == 1050
    cancelled = members[::3]
    await asyncio.gather(
        *(
            ledger.receive(shop.cancelled("o1", shop.d(3), member=member, id=f"{member}:cancelled"))
            for member in cancelled
        )
    )
    await deliver_in_disorder(ledger, rng)
    assert await granted(ledger, "race") == 1050, "16 orders want 1,600"
    for member in members[1::3]:
        await ledger.receive(shop.refunded("o1", shop.d(4), "90", member=member, id=f"{member}:refunded"))
    await deliver_in_disorder(ledger, rng)
    assert await granted(ledger, "race") == 8 * 10 + 8 * 100, "all that is left wants less than there is"
    await verified(ledger, monkeypatch)


async def test_N6_an_order_says_what_it_wants_and_has_and_why(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    await pay(ledger, "early")
    assert await budget_of(client, "early") == {
        "rule": "gift", "wanted": 100, "pending": 0, "confirmed": 0, "state": "asked",
    }  # fmt: skip
    await ledger.deliver()
    assert (await budget_of(client, "early"))["state"] == "given"
    await pay(ledger, "late")
    (asked,) = await ledger.internal_messages()
    (outcome,) = await ledger.deliver(asked)
    assert isinstance(outcome, Outcome)
    assert outcome.alarms == [BUDGET_SPENT]
    assert await ledger.deliver(asked) == [Known()]
    await ledger.deliver()
    assert await budget_of(client, "late") == {
        "rule": "gift", "wanted": 100, "pending": 50, "confirmed": 0, "state": "waits",
    }  # fmt: skip
    entries = (await get(client, "/v1/members/late/entries"))["entries"]
    (entry,) = [each for each in entries if each["rule"] == "gift"]
    why = await get(client, f"/v1/members/late/entries/{entry['entry']}/explanation")
    assert (why["event"]["type"], why["sum"]["points"], why["sum"]["granted"]) == (
        "loyalty.budget.answered.v1", 100, 50,
    )  # fmt: skip
    assert "earn 100 points less; of these the campaign's budget has given 50 so far" in why["says"]


async def test_N6_a_quote_says_what_a_budget_has_left(ledger: LedgerUnderTest, client: httpx.AsyncClient) -> None:
    async def quoted() -> tuple[int, dict[str, tuple[int, int]]]:
        cart = {"currency": "CNY", "channel": "gift", "lines": [shop.line("l1", "120")]}
        answer = await client.post("/v1/quotes", json=cart)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        return body["points"], {row["rule"]: (row["points"], row["if_budget_lasts"]) for row in body["earns"]}

    assert await quoted() == (220, {"purchase": (120, 0), "gift": (0, 0), "first-purchase": (100, 0)})
    refund = shop.refunded("o1", shop.d(3), "90", member="early", id="early:refunded")
    await ledger.receive(refund, at=shop.d(3))
    await ledger.deliver()
    assert await quoted() == (220, {"purchase": (120, 0), "gift": (0, 40), "first-purchase": (100, 0)})


async def test_N2_a_quote_and_an_explanation_go_line_by_line(
    ledger: LedgerUnderTest, client: httpx.AsyncClient
) -> None:
    lines = [shop.line("l1", "50.50", category="tea"), shop.line("l2", "50.50")]
    cart = {"currency": "CNY", "channel": "tea", "lines": lines}
    (row,) = [row for row in (await client.post("/v1/quotes", json=cart)).json()["earns"] if row["rule"] == "purchase"]
    assert row["points"] == 151  # 50.50 x 2 + 50.50 = 151.5
    await ledger.receive(shop.paid("o1", shop.d(2), lines, channel="tea", member="drinker", id="drinker:paid"))
    (entry,) = (await get(client, "/v1/members/drinker/entries"))["entries"]
    why = await get(client, f"/v1/members/drinker/entries/{entry['entry']}/explanation")
    assert why["sum"] == row["sum"]
    assert (why["sum"]["exact"], why["sum"]["points"], entry["points"]) == ("151.5", 151, 151)
    assert why["sum"]["by_goods"] == [
        {"campaigns": ["tea"], "amount": "50.50"}, {"campaigns": [], "amount": "50.50"},
    ]  # fmt: skip
    assert "101.00 × 1 × 1.5 (on average: 2 for its goods of tea) = 151.5, rounded (floor) to 151" in why["says"]


async def test_nobody_speaks_for_the_account_of_a_budget(ledger: LedgerUnderTest) -> None:
    value = shop.signed_in(shop.d(5), member=GIFT)
    raw = httpx.Request("POST", "http://shop", json=value).content
    key = GIFT.encode()
    record = Record("commerce.signins.v1", partition_of(key, 16), 0, ledger.now, key, raw, HEADERS)
    refused = Decoder(ledger.ledger, 16)(record)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.field) == (RefusalReason.BROKEN_FIELD, "subject")


async def test_points_that_no_budget_gave_are_found(ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    await ledger.deliver()
    await verified(ledger, monkeypatch)
    await ledger.tamper("UPDATE fact SET key = 'allotment:nobody/o1' WHERE key = $1", "allotment:late//o1")
    summary = summarise(*await examine(ledger.settings))
    said = [example["detail"] for example in summary["examples"] if example["check"] == "budgets"]
    assert said == [f"order late//o1 of {GIFT} has 100 points that were not given"]
    await ledger.tamper("UPDATE fact SET key = 'allotment:late//o1' WHERE key = $1", "allotment:nobody/o1")


async def test_mend_c07_a_budget_that_gives_between_the_snapshots_of_two_shards_is_no_fault(
    ledger: LedgerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = "campaign:race:20260228T160000Z"
    home = shard_of(campaign, ledger.settings.shards)
    member = next(
        name for name in map("late.{}".format, range(400)) if shard_of(name, ledger.settings.shards) == home + 1
    )
    monkeypatch.setattr("services.kit.clock.now", lambda: ledger.now)
    for former in [f"racer.{number}" for number in range(1, 24, 3)]:  # gives the budget something to give
        await ledger.receive(shop.cancelled("o1", shop.d(3), member=former, id=f"{former}:again"))
    await ledger.deliver()

    async def buy() -> None:
        await pay(ledger, member, channel="race")
        await ledger.deliver()

    summary = await verified_while(ledger, home, buy)
    assert summary["examples"] == []
    await verified(ledger, monkeypatch)
