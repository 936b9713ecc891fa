"""What falls due on an account that nobody touches is booked all the same, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from deploy.shop.events import Event
from services.kit.calendar import parse_rfc3339
from tests.deployment import Deployment, Service, deployed, eventually
from tests.model import events as shop

DAYS_LATER = 20


@pytest.fixture
def later() -> Iterator[Deployment]:
    """A deployment of its own, whose time a test may move."""
    with deployed(DEVELOPMENT="1") as deployment:
        yield deployment


async def test_T8_the_sweeper_confirms_an_order_that_nobody_completes(later: Deployment) -> None:
    """Two workers sweep. More days at once than MAX_JUMP_DAYS wait for somebody to let them pass (C2)."""
    member = "untouched.m"
    at = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    paid = shop.paid("o1", at, "900", member=member)
    await later.up()
    await later.publish([Event(parse_rfc3339(at), "commerce.orders.v1", member, orjson.dumps(paid))])
    await later.settled()
    assert await _points(later, member) == (0, 1800)

    await eventually(lambda: _have_closed_a_day(later), what="a closed day on every shard, from which a jump is one")
    operator = later.service("ledger", MIGRATION_DATABASE_URL=later.dsn)
    _done(operator, "shift-clock", "--days", str(DAYS_LATER))
    await later.services["ledger"].not_well("days would be closed at once")
    assert await _points(later, member) == (0, 1800)
    _done(operator, "proceed", "--through", str(datetime.now(UTC).date() + timedelta(days=DAYS_LATER - 2)))
    await eventually(lambda: _has(later, member, (1800 + 100, 0)), seconds=40, what="the confirmation")
    await later.settled()
    async with later.database() as look:
        timers = await look.fetchval(
            "SELECT count(*) FROM ledger.journal JOIN ledger.identity USING (shard, account) "
            "WHERE member_id = $1 AND type = 'timer'",
            member,
        )
    assert timers == 1
    await later.verified()


async def _have_closed_a_day(deployment: Deployment) -> bool:
    async with deployment.database() as look:
        return bool(await look.fetchval("SELECT count(DISTINCT shard) = 16 FROM ledger.closed_day"))


def _done(operator: Service, *arguments: str) -> None:
    done = operator.command(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


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
