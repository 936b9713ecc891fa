"""A ledger that is started again, by whatever way it ended and with however many workers, reads all shards at once."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any, Final, Literal

import pytest

from services.kit.calendar import MICROS_PER_SECOND, later
from services.kit.clock import now
from services.kit.postgres import new_pool
from services.ledger.settings import LedgerSettings
from services.ledger.store import prepare
from tests.conftest import as_role
from tests.deployment import Deployment, Service, eventually
from tests.fortunes import grant

SHARDS: Final = 16
READS_WITHIN_S: Final = 15.0
ENDINGS: Final[tuple[Literal["stop", "parent", "worker"], ...]] = ("stop", "parent", "worker")
LONG_AGO: Final = 380 * 86_400 * MICROS_PER_SECOND
DUE_A_RESTART: Final = 500
"""Lots that are due when the loop begins, for each restart: the sweeper is at work when the ledger ends."""


async def test_mend_c05_a_restarted_ledger_reads_within_seconds(
    deployment: Deployment, pytestconfig: pytest.Config
) -> None:
    restarts = pytestconfig.getoption("restarts")
    await deployment.services["ledger"].stop()
    ledger = deployment.service("ledger", SESSION_TIMEOUT_SECONDS="120")  # who waits for one that is gone fails
    await _let_fall_due(deployment, restarts * DUE_A_RESTART)
    draw = random.Random(restarts)
    workers = 3
    try:
        for number in range(restarts + 1):
            ledger.start("--workers", str(workers))
            await eventually(
                partial(_read_shards, ledger, workers),
                seconds=READS_WITHIN_S,
                what=f"all shards are read after restart {number}, by {workers} workers",
            )
            ending = ENDINGS[number % len(ENDINGS)]
            await asyncio.sleep(draw.choice([0.0, 0.0, 1.0, 4.0]))
            await (ledger.stop() if ending == "stop" else ledger.kill(ending))
            workers = draw.choice([1, 2, 3])
    finally:
        ledger.destroy()


async def _read_shards(ledger: Service, workers: int) -> bool:
    """Whether every shard is read by one worker, and every worker is well."""
    assert ledger.runs, ledger.log.read_text()[-3000:]
    parts = [worker.get("consumer", {}) for worker in (await ledger.status())[1].get("workers", {}).values()]
    owned = [shard for part in parts for shard in _owned(part)]
    return len(parts) == workers and sorted(owned) == list(range(SHARDS)) and all(part["ok"] for part in parts)


def _owned(part: dict[str, Any]) -> list[int]:
    return [int(shard) for shard in str(part.get("figures", {}).get("shards") or "").split(",") if shard]


async def _let_fall_due(deployment: Deployment, lots: int) -> None:
    settings = LedgerSettings.model_validate(
        {"database_url": as_role(deployment.dsn, "ledger"), "kafka_bootstrap_servers": deployment.broker.bootstrap}
    )
    async with new_pool(settings, prepare=prepare) as pool:
        await grant(pool, shards=SHARDS, members=lots, at=later(now(), -LONG_AGO))
