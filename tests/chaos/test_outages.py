"""A server that is away: the services stay, say why they are not ready, and catch up when it is back."""

from __future__ import annotations

import asyncio

import httpx

from tests.deployment import Deployment
from tests.shops import of_shop


async def test_without_the_database_the_services_stay_and_say_so_and_catch_up(deployment: Deployment) -> None:
    shop = of_shop("no-database", members=60)
    before, meanwhile = shop.parts(2)
    await deployment.publish(before)
    await deployment.stop_postgres()
    await deployment.publish(meanwhile)
    for service in deployment.services.values():
        assert "database" in await service.not_well("database")
    assert await _status(deployment, "GET", f"/v1/members/{before[0].member_id}/balance") == 503
    await asyncio.to_thread(deployment.start_postgres)
    await deployment.up()
    await deployment.ends_as_modelled(shop)


async def test_without_the_brokers_the_services_stay_and_say_so_and_catch_up(deployment: Deployment) -> None:
    shop = of_shop("no-broker", members=60)
    before, after = shop.parts(2)
    await deployment.publish(before)
    await deployment.kill_broker()
    for service in deployment.services.values():
        assert "brokers" in await service.not_well("brokers", seconds=40)
    assert await _status(deployment, "POST", "/v1/events", after[0].body) == 503
    assert await _status(deployment, "GET", f"/v1/members/{before[0].member_id}/balance") in (200, 404)
    await asyncio.to_thread(deployment.start_broker)
    await deployment.up()
    await deployment.publish(after)
    await deployment.ends_as_modelled(shop)


async def _status(deployment: Deployment, method: str, path: str, body: bytes | None = None) -> int:
    """What the ledger answers to the shop meanwhile."""
    headers = {"Authorization": f"Bearer {deployment.signer.token()}", "Content-Type": "application/cloudevents+json"}
    async with httpx.AsyncClient(base_url=deployment.services["ledger"].url, timeout=30) as client:
        return (await client.request(method, path, content=body, headers=headers)).status_code
