"""What falls due on an account that nobody touches is booked all the same, once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import orjson

from deploy.shop.events import Event
from services.kit.calendar import parse_rfc3339
from tests.conftest import REPOSITORY
from tests.deployment import Deployment, eventually
from tests.model import events as shop

DAYS_LATER = 20
LATER = f"""
import sys
from services.kit import clock
present = clock.now
clock.now = lambda: present() + {DAYS_LATER} * 86_400_000_000
from services.kit.serve import main
from services.ledger.__main__ import SERVICE
sys.exit(main(SERVICE, ["serve", "--parts", "sweeper,relay", "--workers", "2"]))
"""
"""The ledger's sweeper as it will be in twenty days: the same process on a clock that is ahead."""


async def test_T8_the_sweeper_confirms_an_order_that_nobody_completes(deployment: Deployment) -> None:
    member = "untouched.m"
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    paid = shop.paid("o1", at, "900", member=member)
    await deployment.publish([Event(parse_rfc3339(at), "commerce.orders.v1", member, orjson.dumps(paid))])
    await deployment.settled()
    assert await _points(deployment, member) == (0, 1800)

    ledger = deployment.services["ledger"]
    with (deployment.directory / "later.log").open("ab") as log:
        later = subprocess.Popen(  # noqa: ASYNC220 - it outlives this call, and starting it is quick
            [sys.executable, "-c", LATER], env=ledger.environment, cwd=REPOSITORY, stdout=log, stderr=log
        )
    try:
        # Two workers sweep every shard: a timer's id says what is due when, so one of them books it.
        await eventually(lambda: _has(deployment, member, (1800 + 100, 0)), seconds=40, what="the confirmation")
        later.terminate()
        assert await asyncio.to_thread(later.wait, 15) == 0
    finally:
        if later.poll() is None:
            later.terminate()  # its workers end with it
            await asyncio.to_thread(later.wait, 15)
    await deployment.settled()
    async with deployment.database() as look:
        timers = await look.fetchval(
            "SELECT count(*) FROM ledger.journal JOIN ledger.identity USING (shard, account) "
            "WHERE member_id = $1 AND type = 'timer'",
            member,
        )
    assert timers == 1
    await deployment.verified()


async def _has(deployment: Deployment, member: str, points: tuple[int, int]) -> bool:
    return await _points(deployment, member) == points


async def _points(deployment: Deployment, member: str) -> tuple[int, int]:
    """(available, pending) as stored."""
    async with deployment.database() as look:
        row = await look.fetchrow(
            "SELECT available, pending FROM ledger.account JOIN ledger.identity USING (shard, account) "
            "WHERE member_id = $1",
            member,
        )
    assert row is not None
    return row["available"], row["pending"]
