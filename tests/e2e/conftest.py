"""One running deployment for the end-to-end tests: each tells of members of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deployment import Deployment, deployed


@pytest.fixture(scope="package")
def running() -> Iterator[Deployment]:
    """Servers with the default program; services run when a test has started them."""
    with deployed() as deployment:
        yield deployment


@pytest.fixture
async def deployment(running: Deployment) -> Deployment:
    """Everything runs and is ready."""
    await running.up()
    return running
