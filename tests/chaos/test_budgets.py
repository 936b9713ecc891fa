"""Many orders want a budget over the real broker while the ledger is killed: all of it is granted, no more."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import httpx
import orjson

from deploy.shop.events import Event
from services.kit.calendar import parse_rfc3339
from services.kit.kafka import shard_of
from tests.chaos.conftest import BUDGET, CHANNEL
from tests.deployment import Deployment
from tests.model import events as shop

MEMBERS = tuple(f"racer.{number}" for number in range(40))
ORDERS = ("o1", "o2", "o3")
"""Each of ¥100: 100 points by the campaign, beside 100 by the rule."""


async def publish(deployment: Deployment, documents: Sequence[dict[str, Any]]) -> None:
    """Publish events of orders, all at once."""
    await deployment.publish(
        [
            Event(parse_rfc3339(event["time"]), "commerce.orders.v1", event["subject"], orjson.dumps(event))
            for event in documents
        ]
    )


async def granted(deployment: Deployment) -> int:
    """The points that the campaign granted, from the entries of all members."""
    async with deployment.database() as look:
        points = await look.fetchval(
            "SELECT sum(points * CASE WHEN debit = 'issued' THEN 1 WHEN credit = 'issued' THEN -1 ELSE 0 END) "
            "FROM ledger.entry WHERE rule = 'race'"
        )
    return int(points or 0)


async def test_N6_a_budget_is_given_exactly_though_the_ledger_is_killed(deployment: Deployment) -> None:
    assert len({shard_of(member, 16) for member in MEMBERS}) > 12
    assert len(MEMBERS) * len(ORDERS) * 100 > BUDGET
    at = (datetime.now(UTC) - timedelta(days=2)).isoformat(timespec="seconds")
    ledger = deployment.services["ledger"]

    async def killed_meanwhile(documents: Sequence[dict[str, Any]]) -> None:
        publishing = asyncio.create_task(publish(deployment, documents))
        await asyncio.sleep(0.3)
        await ledger.kill("worker")
        await publishing
        ledger.start()
        await ledger.ready()
        await deployment.settled()

    paid = [shop.paid(order, at, "100", channel=CHANNEL, member=member) for order, member in product(ORDERS, MEMBERS)]
    await killed_meanwhile(paid)
    assert await granted(deployment) == BUDGET
    later = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    # 80 orders are left, which want 8,000 points, and shares that are freed go to them.
    cancelled = [shop.cancelled("o1", later, member=member) for member in MEMBERS]
    await killed_meanwhile(cancelled)
    assert await granted(deployment) == BUDGET
    # Of them 40 want 10 points each, and the other 40 are received: less than there is.
    refunded = [shop.refunded("o2", later, "90", member=member) for member in MEMBERS]
    completed = [shop.completed("o3", later, member=member) for member in MEMBERS]
    await killed_meanwhile([*refunded, *completed])
    assert await granted(deployment) == 40 * 10 + 40 * 100
    token = deployment.signer.token(scopes=["ledger:read"])
    async with httpx.AsyncClient(base_url=ledger.url, headers={"Authorization": f"Bearer {token}"}) as client:
        for member in MEMBERS:
            booked = (await client.get(f"/v1/members/{member}/orders/o3")).json()["booked"]
            assert [(share["state"], share["confirmed"]) for share in booked["budgets"]] == [("given", 100)]
    await deployment.verified()
