"""Points between members over the real broker: both halves arrive in time; `kill -9` between them loses nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from deploy.shop.events import Event
from services.kit.calendar import parse_rfc3339
from tests.deployment import Deployment, eventually
from tests.model import events as shop

POINTS = 1900
"""Of ¥900 at 2 points each, and the first purchase."""


async def with_points(deployment: Deployment, *members: str) -> None:
    """Each member has bought for ¥900 yesterday."""
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    documents = [
        document_of("o1", at, *amount, member=member)
        for member in members
        for document_of, amount in ((shop.paid, ("900",)), (shop.completed, ()))
    ]
    await deployment.publish(
        [Event(parse_rfc3339(at), "commerce.orders.v1", event["subject"], orjson.dumps(event)) for event in documents]
    )
    await deployment.settled()


def client_of(deployment: Deployment) -> httpx.AsyncClient:
    token = deployment.signer.token(scopes=["ledger:read", "ledger:spend"])
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=deployment.services["ledger"].url, headers=headers, timeout=20)


async def send(client: httpx.AsyncClient, giver: str, getter: str, points: int) -> httpx.Response:
    body = {"from": giver, "to": getter, "points": points, "reference": f"gift of {points}"}
    return await client.post("/v1/transfers", json=body, headers={"Idempotency-Key": f"{giver}:{points}"})


async def available(client: httpx.AsyncClient, member: str) -> Any:
    answer = await client.get(f"/v1/members/{member}/balance")
    assert answer.status_code == 200, answer.text
    return answer.json()["available"]


async def test_a_transfer_is_done_when_it_is_answered(deployment: Deployment) -> None:
    await with_points(deployment, "giver.1", "getter.1")
    async with client_of(deployment) as client:
        answer = await send(client, "giver.1", "getter.1", 300)
        assert answer.status_code == 201, answer.text
        assert answer.json()["state"] == "done"
        assert await available(client, "giver.1") == POINTS - 300
        assert await available(client, "getter.1") == POINTS + 300
    await deployment.verified()


@pytest.mark.parametrize("point", ["after_commit", "relay_before_send", "relay_after_send"])
async def test_a_kill_between_the_halves_loses_nothing_and_books_nothing_twice(
    deployment: Deployment, point: str
) -> None:
    giver, getter = f"giver.{point}", f"getter.{point}"
    await with_points(deployment, giver, getter)
    ledger = deployment.services["ledger"]
    await ledger.stop()
    # The sender's half is the first thing booked, and the first thing sent on.
    ledger.start(loyalty_kill_at=point)
    await ledger.ready()
    async with client_of(deployment) as client:
        with suppress(httpx.HTTPError):
            await send(client, giver, getter, 300)
        assert await ledger.ended(seconds=40) != 0
        ledger.start()
        await ledger.ready()

        async def done() -> bool:
            # The same request again: done once, whether or not the first was answered.
            answer = await send(client, giver, getter, 300)
            return answer.status_code == 201 and answer.json()["state"] == "done"

        await eventually(done, seconds=40, what="the transfer")
        assert await available(client, giver) == POINTS - 300
        assert await available(client, getter) == POINTS + 300
    await deployment.settled()
    await deployment.verified()
