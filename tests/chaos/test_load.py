"""A shop's weeks while what runs is killed: in the end each event is booked once."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Literal

from tests.conftest import SERVICES
from tests.deployment import Deployment, eventually
from tests.shops import of_shop

SEED = 20


async def test_kill_9_of_every_service_twice_loses_nothing_and_books_nothing_twice(deployment: Deployment) -> None:
    shop, draw = of_shop("killed", members=200, seed=SEED), random.Random(SEED)
    deaths: list[tuple[str, Literal["worker", "parent"]]] = [
        death for name in SERVICES for death in ((name, "worker"), (name, "parent"))
    ]
    draw.shuffle(deaths)
    for (name, who), part in zip(deaths, shop.parts(len(deaths)), strict=True):
        publishing = asyncio.create_task(deployment.publish(part))
        await asyncio.sleep(draw.uniform(0.05, 0.8))
        await deployment.services[name].kill(who)
        deployment.services[name].start()
        await publishing
    await deployment.ends_as_modelled(shop)


async def test_a_power_cut_under_load_loses_nothing(deployment: Deployment) -> None:
    shop = of_shop("dark", members=120)
    before, after = shop.parts(2)
    await deployment.publish(before)
    await asyncio.sleep(0.3)
    await deployment.cut_the_power()
    await asyncio.gather(asyncio.to_thread(deployment.start_postgres), asyncio.to_thread(deployment.start_broker))
    await deployment.up()
    await deployment.publish(after)
    await deployment.ends_as_modelled(shop)


async def test_a_database_that_restarts_under_load_keeps_what_it_has_committed(deployment: Deployment) -> None:
    shop = of_shop("restarted", members=120)
    for part in shop.parts(2):
        before = await deployment.booked(shop)
        await deployment.publish(part)

        async def goes_on(before: int = before) -> bool:
            return await deployment.booked(shop) > before

        await eventually(goes_on, seconds=40, what="bookings after the restart")
        await deployment.stop_postgres()  # connections are cut, some of them in a transaction
        await asyncio.to_thread(deployment.start_postgres)
    await deployment.ends_as_modelled(shop)


async def test_a_broker_killed_under_load_keeps_what_it_has_acknowledged(deployment: Deployment) -> None:
    shop = of_shop("broken", members=120)
    publishing = asyncio.create_task(deployment.publish(shop.events))
    await asyncio.sleep(0.2)
    await deployment.kill_broker()
    await asyncio.to_thread(deployment.start_broker)
    try:
        await publishing
    except Exception:  # unacknowledged events are published again, with acknowledged ones (O1)
        await deployment.publish(shop.events)
    await deployment.ends_as_modelled(shop)


async def test_sigterm_under_load_ends_within_10_seconds_and_loses_nothing(deployment: Deployment) -> None:
    shop = of_shop("stopped", members=120)
    await deployment.publish(shop.events)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    assert await asyncio.gather(*(service.stop() for service in deployment.services.values())) == [0, 0, 0]
    assert time.monotonic() - began < 10
    await deployment.up()
    await deployment.ends_as_modelled(shop)
