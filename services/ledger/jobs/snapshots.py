"""Takes a snapshot of each account that an older release has written, as an input of the one write path (K4).

It is done once after an upgrade, beside the other work. The snapshot is kept first, then its digest is journalled. If
the account has moved on in between, nothing is journalled, and the account's turn comes again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from services.kit import clock, log, metrics
from services.kit.calendar import Micros
from services.kit.clock import Clock
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, Queries
from services.ledger.audit.snapshot import digest_of_snapshot, encode_snapshot, projections
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import FORMAT, digest_of
from services.ledger.domain.state.inputs import SnapshotTaken
from services.ledger.domain.state.outcome import SOURCE
from services.ledger.inputs import MemberInput
from services.ledger.jobs.submitting import submit_all

_log = log.get(__name__)
_TABLES: Final = ("lots", "orders", "order_lines", "facts")
SQL: Final = Queries.load(
    "services.ledger", "sql/snapshots.sql", require=("next_accounts", "accounts", *_TABLES, "keep", "finish")
)
PAGE: Final = 20
"""Accounts of one pass."""


class Snapshots:
    """A pass over one shard: takes the snapshots of the next accounts; answers how many it has got through.

    Accounts that could not be done are gone past, and looked at again when the end is reached.
    """

    def __init__(self, pool: Pool, executor: Executor[Any, Any], *, now: Clock = clock.now, page: int = PAGE) -> None:
        self._pool = pool
        self._executor = executor
        self._now = now
        self._page = page
        self._after: defaultdict[Shard, int] = defaultdict(int)
        self._is_done: set[Shard] = set()

    async def __call__(self, shard: Shard) -> int:
        """One page of one shard."""
        if shard in self._is_done:
            return 0
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL.next_accounts, shard, self._after[shard], FORMAT, self._page)
            if not rows:
                if self._after.pop(shard, 0) == 0:
                    self._is_done.add(shard)
                return 0
            members = {row["account"]: row["member_id"] for row in rows}
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                taken = await _take(connection, shard, list(members))
            columns = (list(column) for column in zip(*taken, strict=True))
            await connection.execute(SQL.keep, shard, FORMAT, *columns)
        now = self._now()
        inputs = [_input(members[account], version, state, now) for account, version, state in taken]
        failures = await submit_all(self._executor, shard, inputs)
        for account, failure in zip((account for account, _, _ in taken), failures, strict=True):
            if failure is not None:
                metrics.count("alarms_total", kind="snapshot_failed")
                _log.error("snapshot_failed", shard=shard, account=account, error=type(failure).__name__)
        async with self._pool.acquire() as connection:
            await connection.execute(SQL.finish, shard, FORMAT, list(members))
        self._after[shard] = max(members)
        return failures.count(None)


async def _take(tx: Connection, shard: Shard, accounts: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """The (account, version, snapshot) of accounts, as of the transaction's moment."""
    rows = await tx.fetch(SQL.accounts, shard, accounts)
    stored = [_by_account(await tx.fetch(SQL[table], shard, accounts)) for table in _TABLES]
    return [
        (row["account"], row["version"], encode_snapshot(row, projections(*(of[row["account"]] for of in stored))))
        for row in rows
    ]


def _by_account(rows: Sequence[asyncpg.Record]) -> Mapping[int, list[asyncpg.Record]]:
    found: defaultdict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        found[row["account"]].append(row)
    return found


def _input(member_id: str, version: int, state: bytes, now: Micros) -> MemberInput:
    event_id = f"snapshot:{FORMAT}:{version}"
    input_ = SnapshotTaken(SOURCE, event_id, now, version, digest_of_snapshot(state))
    return MemberInput(member_id, Arrival(digest_of(member_id, SOURCE, event_id), input_, now))
