"""A server that is away: the services stay, say why they are not ready, and catch up when it is back."""

from __future__ import annotations

import asyncio

from tests.deployment import Deployment, of_shop


async def test_without_the_database_the_services_stay_and_say_so_and_catch_up(deployment: Deployment) -> None:
    shop = of_shop("no-database", members=60)
    before, meanwhile = shop.parts(2)
    await deployment.tell(before)
    await deployment.stop_postgres()
    await deployment.tell(meanwhile)
    for service in deployment.services.values():
        assert "database" in await service.not_ready("database")
    await asyncio.to_thread(deployment.start_postgres)
    await deployment.up()
    await deployment.ends_as_told(shop)


async def test_without_the_brokers_the_services_stay_and_say_so_and_catch_up(deployment: Deployment) -> None:
    shop = of_shop("no-broker", members=60)
    before, after = shop.parts(2)
    await deployment.tell(before)
    await deployment.kill_broker()
    for service in deployment.services.values():
        assert "brokers" in await service.not_ready("brokers", seconds=40)
    await asyncio.to_thread(deployment.start_broker)
    await deployment.up()
    await deployment.tell(after)
    await deployment.ends_as_told(shop)
