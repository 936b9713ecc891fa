"""More ask for a gift than there are, over the real broker, and the ledger is killed meanwhile: none is sold twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import product

import httpx
import orjson

from deploy.shop.events import Event
from services.kit.calendar import parse_rfc3339
from tests.deployment import Deployment, eventually
from tests.model import events as shop

STOCK = 100
"""Mugs, as the default program says."""
EACH = 30
"""How many each of four members asks for."""
MEMBERS = tuple(f"buyer.{number}" for number in range(4))


async def test_stock_is_sold_out_exactly_though_the_ledger_is_killed(deployment: Deployment) -> None:
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    documents = [shop.paid("o1", at, "50000", member=member) for member in MEMBERS]
    documents += [shop.completed("o1", at, member=member) for member in MEMBERS]
    await deployment.publish(
        [Event(parse_rfc3339(at), "commerce.orders.v1", event["subject"], orjson.dumps(event)) for event in documents]
    )
    await deployment.settled()
    ledger = deployment.services["ledger"]
    headers = {"Authorization": f"Bearer {deployment.signer.token(scopes=['ledger:read', 'ledger:spend'])}"}
    async with httpx.AsyncClient(base_url=ledger.url, headers=headers, timeout=20) as client:

        async def redeem(member: str, number: int) -> int:
            path, body = f"/v1/members/{member}/redemptions", {"reward": "mug", "reference": f"mug {number}"}
            with suppress(httpx.HTTPError):
                return (
                    await client.post(path, json=body, headers={"Idempotency-Key": f"{member}:{number}"})
                ).status_code
            return 0

        asked = [asyncio.create_task(redeem(*each)) for each in product(MEMBERS, range(EACH))]
        await asyncio.sleep(0.3)
        await ledger.kill("worker")
        await asyncio.gather(*asked)
        ledger.start()
        await ledger.ready()

        async def all_answered() -> Counter[int] | None:
            # The same requests again: each says how the first ended, or is done now.
            answers = Counter(await asyncio.gather(*(redeem(*each) for each in product(MEMBERS, range(EACH)))))
            return answers if set(answers) <= {201, 409} else None

        answers = await eventually(all_answered, seconds=60, what="every answer")
        assert answers == {201: STOCK, 409: len(MEMBERS) * EACH - STOCK}
        rewards = (await client.get("/v1/rewards")).json()["rewards"]
        assert next(row["left"] for row in rewards if row["reward"] == "mug") == 0
        points = [(await client.get(f"/v1/members/{member}/balance")).json()["available"] for member in MEMBERS]
        assert sum(points) == len(MEMBERS) * (100_000 + 100) - STOCK * 1500
    await deployment.settled()
    await deployment.verified()
