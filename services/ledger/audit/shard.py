"""Audits a shard in one pass: all its tables stream in account order and are merged, so that nothing is kept longer
than its account lasts, however much history there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec

from services.kit import clock
from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.kit.kafka import shard_of
from services.kit.postgres import Connection, Queries
from services.ledger import store
from services.ledger.audit.account import Audit, Check, Fault, Projections
from services.ledger.audit.budgets import Budgets
from services.ledger.audit.transfers import Transit
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.lots import LotRow
from services.ledger.domain.state.orders import decode_order
from services.ledger.reads.rows import EntryRow, JournalRow

SQL: Final = Queries.load(
    "services.ledger",
    "sql/verify.sql",
    require=("accounts", "identities", "journal", "entries", "lots", "orders", "order_lines", "facts"),
)
BLOCK: Final = 1000
"""Rows of one round trip."""
MAX_EXAMPLES: Final = 20


class Broken(msgspec.Struct, frozen=True):
    """An account of which something does not hold. `member` is empty where no id leads to it."""

    shard: int
    account: int
    member: str
    check: Check
    detail: str


class Report(msgspec.Struct):
    """What was seen and what was wrong; reports of several shards add up."""

    accounts: int = 0
    rows: Counter[str] = msgspec.field(default_factory=Counter)
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)
    points: Counter[str] = msgspec.field(default_factory=Counter)
    parked: int = 0
    overdue: int = 0
    """Of the parked orders, those whose facts wait for longer than `park_days` (O3)."""
    broken: int = 0
    checks: Counter[str] = msgspec.field(default_factory=Counter)
    transit: Transit = msgspec.field(default_factory=Transit)
    budgets: Budgets = msgspec.field(default_factory=Budgets)
    examples: list[Broken] = msgspec.field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in what another shard's report says."""
        self.accounts += other.accounts
        self.rows.update(other.rows)
        self.outcomes.update(other.outcomes)
        self.points.update(other.points)
        self.parked += other.parked
        self.overdue += other.overdue
        self.broken += other.broken
        self.checks.update(other.checks)
        self.transit.add(other.transit)
        self.budgets.add(other.budgets)
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]

    def blame(self, shard: int, account: int, member: str, faults: Sequence[Fault]) -> None:
        """Count an account as broken, and name it if it is among the first."""
        self.broken += 1
        self.checks.update({fault.check for fault in faults})
        room = MAX_EXAMPLES - len(self.examples)
        seen: set[str] = set()
        for fault in faults:
            if room > 0 and fault.check not in seen:
                seen.add(fault.check)
                room -= 1
                self.examples.append(Broken(shard, account, member, fault.check, fault.detail))


class _Stream:
    """The rows of one statement, in blocks, with a look at the next one. The first column is the account."""

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._cursor: Any = None
        self._block: list[asyncpg.Record] = []
        self._at = 0
        self.next: asyncpg.Record | None = None

    async def open(self, tx: Connection, shard: int, accounts: Sequence[int] | None) -> None:
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

    async def take(self, account: int) -> list[asyncpg.Record]:
        """All further rows of an account."""
        rows: list[asyncpg.Record] = []
        while self.next is not None and self.next[0] == account:
            rows.append(self.next)
            await self._step()
        return rows

    async def take_version(self, account: int, version: int) -> list[asyncpg.Record]:
        """All further rows of an account up to a version (the second column), that included."""
        rows: list[asyncpg.Record] = []
        while self.next is not None and self.next[0] == account and self.next[1] <= version:
            rows.append(self.next)
            await self._step()
        return rows

    async def take_one(self, account: int) -> asyncpg.Record | None:
        """The next row, if it is of this account."""
        row = self.next
        if row is None or row[0] != account:
            return None
        await self._step()
        return row


async def audit_shard(
    tx: Connection, programs: ProgramVersions, shard: int, shards: int, accounts: Sequence[int] | None = None
) -> Report:
    """Audit all accounts of a shard, or some, in the caller's transaction (one snapshot)."""
    report, present = Report(), clock.now()
    names = ("accounts", "identities", "journal", "entries", "lots", "orders", "order_lines", "facts")
    streams = {name: _Stream(name, report) for name in names}
    for stream in streams.values():
        await stream.open(tx, shard, accounts)
    while True:
        ahead = [stream.next[0] for stream in streams.values() if stream.next is not None]
        if not ahead:
            return report
        await _audit_account(streams, programs, shard, shards, min(ahead), present, report)


async def _audit_account(
    streams: dict[str, _Stream],
    programs: ProgramVersions,
    shard: int,
    shards: int,
    number: int,
    present: Micros,
    report: Report,
) -> None:
    members = [row["member_id"] for row in await streams["identities"].take(number)]
    audit = Audit(programs, number, members[0] if members else "")
    journal, entries = streams["journal"], streams["entries"]
    while (row := await journal.take_one(number)) is not None:
        booked = [EntryRow(*tuple(entry)[1:]) for entry in await entries.take_version(number, row[1])]
        strays = [entry for entry in booked if entry.version < row[1]]
        if strays:
            audit.stray(strays)
            booked = booked[len(strays) :]
        audit.journal(JournalRow(*row), booked)
    audit.stray([EntryRow(*tuple(entry)[1:]) for entry in await entries.take(number)])
    stored = Projections(
        lots=[LotRow(*tuple(row)[1:]) for row in await streams["lots"].take(number)],
        orders={
            row["ref"]: (
                row["paid_at"] or 0, row["due"] or 0, row["success_from"] or 0, row["success_until"] or 0, row["state"],
            )
            for row in await streams["orders"].take(number)
        },
        lines={(row["ref"], row["telling"]): row["lines"] for row in await streams["order_lines"].take(number)},
        facts={row["key"]: row["value"] for row in await streams["facts"].take(number)},
    )  # fmt: skip
    found = await streams["accounts"].take_one(number)
    account: Account | None = None
    if found is not None:
        account = store.account_of(found)
        report.accounts += 1
    audit.finish(account, b"" if found is None else found["details"], stored)
    for member in members:
        if shard_of(member, shards) != shard:
            audit.faults.append(Fault("identity", f"{member} belongs on shard {shard_of(member, shards)}"))
    report.outcomes.update(audit.outcomes)
    report.points.update(audit.sums)
    report.transit.read(stored.facts)
    if members:
        states = {ref: state for ref, (*_, state) in stored.orders.items()}
        report.budgets.read(members[0], states, stored.facts, programs)
    for paid_at, *_, state in stored.orders.values():
        if not paid_at:
            report.parked += 1
            report.overdue += _waits_too_long(state, programs, present)
    if audit.faults:
        report.blame(shard, number, members[0] if members else "", audit.faults)


def _waits_too_long(state: bytes, programs: ProgramVersions, present: Micros) -> bool:
    try:
        refunds = decode_order(state).refunds
    except msgspec.DecodeError:
        return False
    waits = programs.at(present).park_days * 86_400 * MICROS_PER_SECOND
    return any(refund.arrived_at < present - waits for refund in refunds)
