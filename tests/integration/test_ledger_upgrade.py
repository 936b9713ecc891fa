"""A ledger that an older release has written goes on under this one, and is verified as a whole (K4)."""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.postgres import binary
from services.kit.calendar import parse_rfc3339
from services.kit.executor import Executor
from services.kit.kafka import Shard, shard_of
from services.ledger.audit.verify import examine, summarise, table
from services.ledger.domain.state.inputs import SignedIn, decode_input
from services.ledger.inputs import Known, MemberInput
from services.ledger.jobs.snapshots import Snapshots
from tests.conftest import MakeDatabase
from tests.formats import LEDGER_OF_FORMAT_1
from tests.integration.ledger_support import LedgerUnderTest, ledger_on
from tests.model import events as shop

NOW = parse_rfc3339("2026-12-20T12:00:00+08:00")


def restore(dump: Path, dsn: str) -> None:
    """Run a compressed dump's statements on an empty database."""
    subprocess.run(
        [binary("psql"), "--no-psqlrc", "-qX", "-v", "ON_ERROR_STOP=1", "-d", dsn],
        input=lzma.decompress(dump.read_bytes()),
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
async def ledger(make_database: MakeDatabase, migrated_template: str) -> AsyncIterator[LedgerUnderTest]:
    """The ledger of the first format, migrated. `migrated_template` has made the roles."""
    dsn = make_database()
    restore(LEDGER_OF_FORMAT_1, dsn)
    async with ledger_on(dsn, publish=False) as under_test:
        under_test.now = NOW
        yield under_test


async def verified(ledger: LedgerUnderTest) -> dict[str, Any]:
    summary = summarise(*await examine(ledger.settings, processes=1))
    assert summary["ok"], table(summary | {"seconds": 0})
    return summary


def executor_of(ledger: LedgerUnderTest) -> Executor[Any, Any]:
    return Executor(ledger.pool, ledger.ledger.book)


async def take_snapshots(ledger: LedgerUnderTest, executor: Any = None) -> int:
    """Run the job on all shards until it finds nothing more; how many accounts it has looked at."""
    snapshots = Snapshots(ledger.pool, executor or executor_of(ledger), now=ledger.clock)
    found = 0
    for shard in map(Shard, range(ledger.settings.shards)):
        while looked_at := await snapshots(shard):
            found += looked_at
    return found


class Interfering:
    """An executor that books something on each of the first accounts right before their snapshots come in."""

    def __init__(self, ledger: LedgerUnderTest, accounts: int) -> None:
        self._ledger = ledger
        self._executor = executor_of(ledger)
        self._left = accounts

    async def submit(self, shard: Shard, input_: MemberInput, *, background: bool = False) -> Any:
        if self._left > 0:
            self._left -= 1
            await self._ledger.book([(input_.member_id, SignedIn("/shop", f"meanwhile:{self._left}", NOW))])
        return await self._executor.submit(shard, input_, background=background)


async def older_accounts(ledger: LedgerUnderTest) -> int:
    async with ledger.pool.acquire() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM account WHERE format < 2")
        return count


async def test_K4_a_ledger_of_an_older_release_is_verified_and_goes_on(ledger: LedgerUnderTest) -> None:
    before = await verified(ledger)
    assert before["journal"] > 20_000
    assert before["not_folded"] == before["accounts"] == await older_accounts(ledger) > 100

    # An account that moves on before its snapshot is journalled keeps its turn.
    await take_snapshots(ledger, Interfering(ledger, accounts=7))
    assert (await verified(ledger))["not_folded"] == await older_accounts(ledger) == 7
    assert await take_snapshots(ledger) >= 7
    assert await older_accounts(ledger) == 0
    assert await take_snapshots(ledger) == 0
    after = await verified(ledger)
    assert after["not_folded"] == 0
    assert after["journal"] == before["journal"] + before["accounts"] + 7

    member, input_ = await an_order(ledger)
    order = input_.order.partition("/")[2]
    at = "2026-12-20T12:00:00+08:00"
    await ledger.receive(
        shop.completed(order, at, member=member, id="after:completed"),
        shop.refunded(order, at, "1", member=member, id="after:refunded"),
        shop.paid("after", at, "500", member=member, id="after:paid"),
        shop.paid("new", at, "500", member="somebody-new", id="new:paid"),
    )
    assert (await verified(ledger))["accounts"] == after["accounts"] + 1

    await ledger.tamper(
        "UPDATE orders SET state = state || '\\x00' WHERE ref = (SELECT max(ref) FROM orders WHERE ref LIKE '%after')"
    )
    summary = summarise(*await examine(ledger.settings, processes=1))
    assert summary["checks"]["orders"] == 1


async def an_order(ledger: LedgerUnderTest) -> tuple[str, Any]:
    """A member, and the payment of an order as it was journalled by the older release."""
    async with ledger.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT i.member_id, j.input FROM journal j JOIN identity i USING (shard, account) "
            "WHERE j.type = 'paid' AND j.format = 1 ORDER BY j.at DESC, j.digest LIMIT 1"
        )
    assert row is not None
    return row["member_id"], decode_input(row["input"])


async def test_K4_an_event_that_the_older_release_has_booked_is_known(ledger: LedgerUnderTest) -> None:
    assert await ledger.book([await an_order(ledger)]) == [Known()]


async def test_K4_a_worker_of_the_older_release_cannot_write_any_more(ledger: LedgerUnderTest) -> None:
    columns = "shard, digest, at, account, version, now, type, outcome, input, record, head"
    member, _ = await an_order(ledger)
    async with ledger.pool.acquire() as connection:
        with pytest.raises(asyncpg.NotNullViolationError):
            await connection.execute(
                f"INSERT INTO journal ({columns}) SELECT shard, '\\x00', at, account, version + 1000, now, type, "
                f"outcome, input, record, head FROM journal JOIN identity USING (shard, account) "
                "WHERE shard = $1 AND member_id = $2 LIMIT 1",
                shard_of(member, ledger.settings.shards),
                member,
            )
        with pytest.raises(asyncpg.NotNullViolationError):
            await connection.execute("INSERT INTO account (shard, account) VALUES (0, 1000000)")


async def test_K4_a_snapshot_that_is_gone_is_missed(ledger: LedgerUnderTest) -> None:
    await take_snapshots(ledger)
    member, _ = await an_order(ledger)
    await ledger.tamper(
        "DELETE FROM snapshot USING identity i WHERE i.account = snapshot.account AND i.member_id = $1", member
    )
    summary = summarise(*await examine(ledger.settings, processes=1))
    assert summary["checks"]["replay"] == 1
    assert any("snapshot" in example["detail"] for example in summary["examples"])
