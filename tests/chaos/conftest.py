"""One deployment for all fault tests: each tells of members of its own and leaves everything running."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.deployment import PROGRAM, Deployment, deployed

BUDGET: Final = 7_050
"""Points that the campaign of the channel gives which only the test of budgets uses."""
CHANNEL: Final = "race"

_CAMPAIGN: Final = f"""
  - rule: race
    on: order
    campaign:
      from: 2020-01-01T00:00:00Z
      to: 2100-01-01T00:00:00Z
      multiplier: "2"
      channels: [{CHANNEL}]
      budget: {BUDGET}
"""


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The servers; services run when a test has started them."""
    program = tmp_path_factory.mktemp("program") / "program.yaml"
    program.write_text(PROGRAM.read_text("utf-8").replace("\nearn:\n", f"\nearn:{_CAMPAIGN}", 1), "utf-8")
    with deployed(program) as deployment:
        yield deployment


@pytest.fixture
async def deployment(servers: Deployment) -> Deployment:
    """Servers and services that all run, whatever the test before has done to them."""
    servers.start_postgres()
    if not servers.broker.process.running:
        servers.start_broker()
    await servers.up()
    return servers
