"""The audit of a shard in one pass.

All its tables stream in account order and are merged, so memory holds the rows of one account at a time, and of a long
history only a part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from services.kit import clock
from services.kit.calendar import MICROS_PER_SECOND, NOT_YET
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Connection, Queries
from services.ledger import store
from services.ledger.audit.account import AccountAudit, Check, Fault
from services.ledger.audit.budgets import Budgets
from services.ledger.audit.snapshot import Projections, projections
from services.ledger.audit.transfers import Transit
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.orders import decode_order
from services.ledger.reads.rows import EntryRow, JournalRow

_TABLES: Final = (
    "accounts", "identities", "journal", "snapshots", "milestones", "entries", "lots", "orders", "order_lines", "facts",
)  # fmt: skip
SQL: Final = Queries.load(
    "services.ledger", "sql/verify.sql", require=(*_TABLES, "stored_points", "facts_by_public_id", "order_state")
)
BLOCK: Final = 1000
"""Rows of one round trip."""
MAX_EXAMPLES: Final = 20
"""Findings that a report names; it counts all."""


class Finding(msgspec.Struct, frozen=True):
    """A check that does not hold of an account. `member` is empty where the account has no member id."""

    shard: Shard
    account: int
    member: str
    check: Check
    detail: str


class Report(msgspec.Struct):
    """What was read and what is wrong. Reports of several shards can be added."""

    accounts: int = 0
    rows: Counter[str] = msgspec.field(default_factory=Counter)
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    points: Counter[str] = msgspec.field(default_factory=Counter)
    parked: int = 0
    overdue: int = 0
    """Parked orders that have waited for their payment longer than `park_days` (O3)."""
    not_folded: int = 0
    """Accounts that an older release has written, and that have no snapshot yet (K4)."""
    broken: int = 0
    """Accounts with faults."""
    checks: Counter[str] = msgspec.field(default_factory=Counter)
    transit: Transit = msgspec.field(default_factory=Transit)
    budgets: Budgets = msgspec.field(default_factory=Budgets)
    books: list[str] = msgspec.field(default_factory=list)
    """Where the stored totals of a whole shard are not the sums of its entries."""
    in_transit: list[str] = msgspec.field(default_factory=list)
    """Where what is in transit by the entries of a shard is not what its transfers say."""
    examples: list[Finding] = msgspec.field(default_factory=list)

    def add(self, other: Report) -> None:
        """Add another shard's report to this one."""
        self.accounts += other.accounts
        self.rows.update(other.rows)
        self.outcomes.update(other.outcomes)
        self.points.update(other.points)
        self.parked += other.parked
        self.overdue += other.overdue
        self.not_folded += other.not_folded
        self.broken += other.broken
        self.checks.update(other.checks)
        self.transit.add(other.transit)
        self.budgets.add(other.budgets)
        self.books += other.books
        self.in_transit += other.in_transit
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]

    def add_account(self, shard: Shard, account: int, member: str, faults: Sequence[Fault]) -> None:
        """Count an account with faults; while there is room, name one fault of each check."""
        first: dict[Check, Fault] = {}
        for fault in faults:
            first.setdefault(fault.check, fault)
        self.broken += 1
        self.checks.update(first.keys())
        named = list(first.values())[: MAX_EXAMPLES - len(self.examples)]
        self.examples += [Finding(shard, account, member, fault.check, fault.detail) for fault in named]


class _Stream:
    """The rows of a statement, fetched in blocks; `next` is the row ahead. The first column is the account."""

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._cursor: Any = None
        self._block: list[asyncpg.Record] = []
        self._at = 0
        self.next: asyncpg.Record | None = None

    async def open(self, tx: Connection, shard: Shard, accounts: Sequence[int] | None) -> None:
        self._cursor = await tx.cursor(SQL[self._name], shard, accounts)
        await self._step()

    async def _step(self) -> None:
        if self._at == len(self._block):
            self._block, self._at = await self._cursor.fetch(BLOCK), 0
            self._report.rows[self._name] += len(self._block)
            if not self._block:
                self.next = None
                return
        self.next = self._block[self._at]
        self._at += 1

    async def rows(self, account: int) -> list[asyncpg.Record]:
        """All further rows of an account."""
        rows: list[asyncpg.Record] = []
        while self.next is not None and self.next[0] == account:
            rows.append(self.next)
            await self._step()
        return rows

    async def rows_up_to(self, account: int, version: int) -> list[asyncpg.Record]:
        """The further rows of an account up to a version (the second column), this version included."""
        rows: list[asyncpg.Record] = []
        while self.next is not None and self.next[0] == account and self.next[1] <= version:
            rows.append(self.next)
            await self._step()
        return rows

    async def row(self, account: int) -> asyncpg.Record | None:
        """The next row, if it is of this account."""
        row = self.next
        if row is None or row[0] != account:
            return None
        await self._step()
        return row


async def audit_shard(
    tx: Connection, programs: ProgramVersions, shard: Shard, shards: int, accounts: Sequence[int] | None = None
) -> Report:
    """Audit all accounts of a shard, or those of these numbers, in the caller's transaction (one snapshot)."""
    audit = _ShardAudit(programs, shard, shards)
    for stream in audit.streams.values():
        await stream.open(tx, shard, accounts)
    while (number := audit.next_account()) is not None:
        await audit.account(number)
    if accounts is None:
        await _check_sums(tx, shard, audit.report)
    return audit.report


async def _check_sums(tx: Connection, shard: Shard, report: Report) -> None:
    """Compare a whole shard's totals, summed by the database, with the entries that were read one by one."""
    stored = await tx.fetchrow(SQL.stored_points, shard)
    assert stored is not None
    sums = {**report.points, "debt": -report.points["debt"]}
    report.books = [
        f"{name} of all accounts of shard {shard} is {points}, the entries say {sums.get(name, 0)}"
        for name, points in stored.items()
        if points != sums.get(name, 0)
    ]
    report.in_transit = [
        f"shard {shard}: {fault}" for fault in report.transit.differs_from(report.points["in_transit"])
    ]


class _ShardAudit:
    """The streams of a shard's tables, and the report of the accounts that were read from them."""

    def __init__(self, programs: ProgramVersions, shard: Shard, shards: int) -> None:
        self.report = Report()
        self.streams = {table: _Stream(table, self.report) for table in _TABLES}
        self._programs = programs
        self._shard = shard
        self._shards = shards
        self._started_at = clock.now()

    def next_account(self) -> int | None:
        """The lowest account that a stream has rows of; None at the end of all."""
        return min((stream.next[0] for stream in self.streams.values() if stream.next is not None), default=None)

    async def account(self, number: int) -> None:
        """Read all rows of the next account, check them, and add the result to the report."""
        members: list[str] = [row["member_id"] for row in await self.streams["identities"].rows(number)]
        member = members[0] if members else ""
        snapshots = await self.streams["snapshots"].rows(number)
        audit = AccountAudit(self._programs, number, member, snapshots[0]["state"] if snapshots else None)
        await self._check_journal(audit, number)
        stored = await self._projections(number)
        row = await self.streams["accounts"].row(number)
        if row is not None:
            self.report.accounts += 1
        if row is None:
            audit.check_stored(None, b"", stored)
        else:
            audit.check_stored(store.account_of(row), row["details"], stored, row["format"])
        faults = [*audit.faults, *self._on_wrong_shard(members)]
        self._count(audit, member, stored)
        if faults:
            self.report.add_account(self._shard, number, member, faults)

    async def _check_journal(self, audit: AccountAudit, number: int) -> None:
        journal, entries, milestones = (self.streams[name] for name in ("journal", "entries", "milestones"))
        while (row := await journal.row(number)) is not None:
            journal_row = JournalRow(*row)
            booked = _entries(await entries.rows_up_to(number, journal_row.version))
            audit.check_unjournalled([entry for entry in booked if entry.version < journal_row.version])
            audit.check_journal(journal_row, [entry for entry in booked if entry.version == journal_row.version])
            for kept in await milestones.rows_up_to(number, journal_row.version):
                audit.check_milestone(kept["version"], kept["booked_at"], kept["sums"])
        audit.check_unjournalled(_entries(await entries.rows(number)))
        for kept in await milestones.rows(number):  # beyond the journal's end
            audit.check_milestone(kept["version"], kept["booked_at"], kept["sums"])

    async def _projections(self, number: int) -> Projections:
        return projections(
            *[await self.streams[table].rows(number) for table in ("lots", "orders", "order_lines", "facts")]
        )

    def _on_wrong_shard(self, members: Sequence[str]) -> list[Fault]:
        """The members whose id belongs on another shard than this."""
        places = [(member, shard_of(member, self._shards)) for member in members]
        return [Fault("identity", f"{member} belongs on shard {at}") for member, at in places if at != self._shard]

    def _count(self, audit: AccountAudit, member: str, stored: Projections) -> None:
        report = self.report
        report.outcomes.update(audit.outcomes)
        report.not_folded += audit.lacks_snapshot
        report.points.update(audit.sums)
        report.transit.read(stored.facts)
        if member:
            states = {ref: state for ref, (*_, state) in stored.orders.items()}
            report.budgets.read(member, states, stored.facts, self._programs)
        for paid_at, *_, state in stored.orders.values():
            if not paid_at:
                report.parked += 1
                report.overdue += self._waits_too_long(state)

    def _waits_too_long(self, state: bytes) -> bool:
        try:
            since = decode_order(state).waits_since
        except msgspec.DecodeError:
            return False
        waits = self._programs.at(self._started_at).park_days * 86_400 * MICROS_PER_SECOND
        return since != NOT_YET and since < self._started_at - waits


def _entries(rows: Sequence[asyncpg.Record]) -> list[EntryRow]:
    return [EntryRow(*tuple(row)[1:]) for row in rows]
