"""`kill -9` at each point where a batch or a round of the relay can be half done."""

from __future__ import annotations

import pytest

from tests.conftest import SERVICES
from tests.deployment import Deployment
from tests.shops import of_shop

OF_ALL = (
    "after_fence",
    "before_commit",
    "after_commit",
    "relay_before_send",
    "relay_after_send",
    "relay_after_delete",
)
OF_THE_LEDGER = ("ledger.folded", "ledger.written")


@pytest.mark.parametrize("point", [*OF_ALL, *OF_THE_LEDGER])
async def test_a_kill_at_any_point_ends_where_no_kill_would(deployment: Deployment, point: str) -> None:
    names = SERVICES if point in OF_ALL else ("ledger",)
    shop = of_shop(f"at-{point}", members=25)
    services = [deployment.services[name] for name in names]
    for service in services:
        await service.stop()
    for nth, service in enumerate(services, 1):
        service.start(loyalty_kill_at=f"{point}:{nth}")
    await deployment.publish(shop.events)
    for service in services:
        # The ledger first: what it tells, once it works again, is what brings the others to the point.
        assert await service.ended(seconds=40) != 0
        service.start()
    await deployment.ends_as_modelled(shop)
