"""No clock moves points alone: a ledger's worker on a host whose clock is wrong, on real servers (C1)."""

from __future__ import annotations

import asyncio
import time

import pytest

from services.kit.serve import running
from services.kit.topics import ensure_topics
from services.ledger.__main__ import SERVICE
from tests.conftest import MakeDatabase
from tests.integration.kit_support import eventually
from tests.integration.ledger_support import completed_order, ledger_on

TWO_YEARS_NS = 2 * 365 * 86_400 * 10**9
PARTS = frozenset({"consumer", "relay", "sweeper"})


async def test_mend_b02_a_sweeper_two_years_ahead_expires_nothing(
    make_database: MakeDatabase, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ensure_topics(kafka)
    async with ledger_on(make_database(), kafka_bootstrap_servers=kafka, consumer_group="two-years-ahead") as ledger:
        await completed_order(ledger, "b02")
        real = time.time_ns
        monkeypatch.setattr("time.time_ns", lambda: real() + TWO_YEARS_NS)
        async with running(SERVICE, ledger.settings, PARTS, port=0) as worker:
            states = {part.name: part for part in worker.parts}

            async def is_told() -> bool:
                return all("ahead of the database" in states[name].state().detail for name in ("clock", "sweeper"))

            await eventually(is_told, seconds=60, what="the clock and the sweeper say what is wrong")
            await asyncio.sleep(3)
        monkeypatch.setattr("time.time_ns", real)
        assert await ledger.pool.fetchval("SELECT available FROM account") == 1900
