"""One deployment for all fault tests: each tells of members of its own and leaves everything running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, deployed


@pytest.fixture(scope="package")
def servers() -> Iterator[Deployment]:
    """The servers; services run when a test has started them."""
    with deployed() as deployment:
        yield deployment


@pytest.fixture
async def deployment(servers: Deployment) -> Deployment:
    """Servers and services that all run, whatever the test before has done to them."""
    servers.start_postgres()
    if not servers.broker.process.running:
        servers.start_broker()
    await servers.up()
    return servers
