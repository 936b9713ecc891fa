"""Jumps of time, on a real PostgreSQL: many days at once wait for somebody to let them be closed (C2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import httpx
import pytest

from deploy.local.tokens import Signer
from services.kit.calendar import Micros, day_from, later, parse_rfc3339, rfc3339
from services.kit.executor import DatabaseUnavailable, Executor
from services.kit.kafka import Shard, shard_of
from services.ledger.consumer import TOPICS
from services.ledger.executor import Ledger
from services.ledger.horizon import Horizon, proceed
from services.ledger.jobs.day_close import DayClose
from services.ledger.jobs.due import DueAccounts
from services.ledger.jobs.expiry_notices import ExpiryNotices
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import (
    LedgerUnderTest,
    client_of,
    completed_order,
    held,
    ledger_on,
    points_of,
    post,
)
from tests.model import events as shop

MEMBER = "m1"
SHARD = shard_of(MEMBER, 16)
KEY = {"Idempotency-Key": "release"}
NOON = "12:00:00"


class Jumping:
    """A ledger with 1,900 points for a member, closed through 5 March 2026, and what its worker sweeps with."""

    def __init__(self, ledger: LedgerUnderTest) -> None:
        self.ledger = ledger
        self.days = Horizon(ledger.pool, 16, ledger.settings.max_jump_days, ledger.clock)
        ledger.limit = self.days.limit
        ledger.ledger = Ledger(self.days.limit)
        executor = Executor(ledger.pool, ledger.ledger.book)
        self.due = DueAccounts(ledger.pool, executor, 100, now=ledger.clock, until=self.days.due_until)
        self.notices = ExpiryNotices(ledger.pool, executor, now=ledger.clock, limit=self.days.limit)
        self.close = DayClose(ledger.pool, 16, self._is_booked, now=ledger.clock, horizon=self.days)

    async def _is_booked(self, *_: object) -> bool:
        return True

    async def closed(self) -> list[str]:
        """The closed days of the member's shard, in the order in which they were closed."""
        rows = await self.ledger.pool.fetch(
            "SELECT day FROM closed_day WHERE shard = $1 ORDER BY closed_at, day", SHARD
        )
        return [date.fromordinal(row["day"]).isoformat() for row in rows]

    async def sweep(self) -> None:
        """Sweep the shard until nothing is found, as a worker does that comes back after a while."""
        self.ledger.now = later(self.ledger.now, 10_000_000)
        while await self.due(SHARD) + await self.notices(SHARD) + await self.close(SHARD):
            self.ledger.now = later(self.ledger.now, 1)


@pytest.fixture
async def jumping(make_database: MakeDatabase, jwks_file: Path) -> AsyncIterator[Jumping]:
    async with ledger_on(make_database(), jwks_file=jwks_file) as ledger:
        await completed_order(ledger, MEMBER)
        await ledger.tamper(
            "INSERT INTO consumer_offset (shard, topic, next_offset) "
            "SELECT shard, topic, 10 FROM generate_series(0, 15) AS shard, unnest($1::text[]) AS topic",
            TOPICS,
        )
        await ledger.tamper(
            "INSERT INTO closed_day (shard, day, closed_at) "
            "SELECT shard, '2026-03-05', '2026-03-05T16:01:00Z' FROM generate_series(0, 15) AS shard"
        )
        made = Jumping(ledger)
        with pytest.raises(DatabaseUnavailable):
            made.days.limit(SHARD, ledger.now)
        await made.days.read()
        yield made


def at(day: int, clock: str = NOON) -> Micros:
    return parse_rfc3339(shop.d(day, clock))


async def test_C2_seven_days_are_closed_one_after_the_other_and_an_eighth_makes_them_wait(jumping: Jumping) -> None:
    jumping.ledger.now = at(14, "00:00:59")  # the 13th cannot be closed yet: the 6th to the 12th are seven days
    assert jumping.days.state().ok
    assert jumping.days.limit(SHARD, jumping.ledger.now) == jumping.ledger.now
    jumping.ledger.now = at(14, "00:01:01")
    assert not jumping.days.state().ok
    assert rfc3339(jumping.days.limit(SHARD, jumping.ledger.now)) == "2026-03-05T16:00:00Z"
    assert "8 days would be closed at once on 16 shards" in jumping.days.state().detail
    assert (await jumping.close(SHARD), await jumping.closed()) == (0, ["2026-03-05"])


async def test_C2_a_jump_of_seven_days_waits_for_nobody(jumping: Jumping) -> None:
    jumping.ledger.now = at(13)
    await jumping.sweep()
    assert (await jumping.closed())[1:] == [f"2026-03-{day:02}" for day in range(6, 13)]


async def test_mend_b02_a_jump_of_a_year_expires_nothing_until_somebody_confirms_it(
    jumping: Jumping, signer: Signer
) -> None:
    ledger = jumping.ledger
    token = signer.token(scopes=["ledger:read", "ledger:spend"])
    async with client_of(ledger.app(), token) as client:
        hold = await held(client, MEMBER, 300, ttl_seconds=86_400)
    ledger.now = parse_rfc3339("2027-04-15T12:00:00+08:00")  # the points could be spent to the end of 1 March
    await jumping.sweep()
    assert await jumping.closed() == ["2026-03-05"]
    async with client_of(ledger.app(), token) as client:
        assert (await client.get(f"/v1/holds/{hold['hold_id']}")).json()["state"] == "open"
        listed = (await client.get(f"/v1/members/{MEMBER}/holds")).json()["holds"]
        assert [each["state"] for each in listed] == ["open"]
        assert (await client.get(f"/v1/members/{MEMBER}/orders")).json()["orders"][0]["order_id"] == "o1"
        assert (await client.post(f"/v1/holds/{hold['hold_id']}/release", headers=KEY)).status_code == 200
        assert (await balance(client))["as_of"] == "2026-03-05T16:00:00Z"
        assert await points_of(client, MEMBER) == (1900, 0, 0, 0)
        redeemed = await post(client, f"/v1/members/{MEMBER}/redemptions", {"points": 500, "reference": "r1"})
        assert redeemed.status_code == 201, "reads and spends agree"
        assert (await ledger.receive(shop.signed_in(shop.d(6), member=MEMBER)))[0] is not None
        assert await points_of(client, MEMBER) == (1405, 0, 0, 500)
    newest = await ledger.pool.fetchval("SELECT max(now) FROM journal")
    assert rfc3339(newest) == "2026-03-05T16:00:00Z"
    assert not await ledger.pool.fetchval("SELECT count(*) FROM journal WHERE type = 'expiring'"), "no notice goes out"


async def balance(client: httpx.AsyncClient) -> dict[str, str]:
    body: dict[str, str] = (await client.get(f"/v1/members/{MEMBER}/balance")).json()
    return body


async def test_C2_what_falls_due_is_booked_day_by_day_through_the_day_that_somebody_names(jumping: Jumping) -> None:
    ledger = jumping.ledger
    for day in (6, 8):  # paid and never completed: due at the midnight that ends 21 and 23 March
        await ledger.receive(shop.paid(f"o{day}", shop.d(day), "100", member=MEMBER), at=shop.d(day))
    ledger.now = at(40)
    await jumping.days.read()
    await jumping.sweep()
    assert await jumping.closed() == ["2026-03-05"]
    async with ledger.pool.acquire() as connection:
        await connection.execute("INSERT INTO proceed (through) VALUES ($1)", day_from(date(2026, 3, 22)))
    await jumping.days.read()
    await jumping.sweep()
    assert (await jumping.closed())[-1] == "2026-03-22"
    timers = await ledger.pool.fetch("SELECT now FROM journal WHERE type = 'timer' ORDER BY now")
    assert [rfc3339(row["now"]) for row in timers] == ["2026-03-21T16:00:00Z"]
    assert rfc3339(jumping.days.limit(SHARD, ledger.now)) == "2026-03-22T16:00:00Z"
    async with ledger.pool.acquire() as connection:
        await connection.execute("INSERT INTO proceed (through) VALUES ($1)", day_from(date(2026, 4, 8)))
    await jumping.days.read()
    await jumping.sweep()
    assert (await jumping.closed())[-1] == "2026-04-08"
    assert (jumping.days.limit(SHARD, ledger.now), jumping.days.state().ok) == (ledger.now, True)
    timers = await ledger.pool.fetch("SELECT now FROM journal WHERE type = 'timer' ORDER BY now")
    assert [rfc3339(row["now"]) for row in timers] == ["2026-03-21T16:00:00Z", "2026-03-23T16:00:00Z"]


async def test_C2_a_shard_of_which_no_day_is_closed_waits_for_nothing(jumping: Jumping) -> None:
    await jumping.ledger.tamper("DELETE FROM closed_day")
    await jumping.days.read()
    jumping.ledger.now = at(400)
    assert jumping.days.limit(Shard(3), jumping.ledger.now) == jumping.ledger.now


async def test_C2_nobody_proceeds_through_a_day_that_has_not_ended(
    jumping: Jumping, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        await proceed(jumping.ledger.settings, ["--through", "2999-01-01"])
    assert "has not ended" in capsys.readouterr().err
    assert await proceed(jumping.ledger.settings, ["--through", "2026-03-20"]) == 0
    await asyncio.sleep(0)
    await jumping.days.read()
    assert jumping.days.allowed(SHARD) == day_from(date(2026, 3, 20))
