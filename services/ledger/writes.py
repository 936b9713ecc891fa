"""Writes what a batch of one shard has changed, answered and has to send: by the statement `write` of ledger.sql.

Rows travel as arrays of row types. The journal, the entries and the lines of orders are appended to; accounts, orders
and facts are written whole, and lots as differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from services.kit.calendar import Micros
from services.kit.kafka import Shard
from services.kit.outbox import OutboxRow, append, records_of
from services.kit.postgres import Connection
from services.ledger.domain.batch import Fold
from services.ledger.domain.chain import FORMAT
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.orders import encode_lines, encode_order
from services.ledger.store import SQL

_encode_details = msgspec.msgpack.Encoder().encode
_JOURNAL: Final = (
    "shard", "digest", "at", "account", "version", "now", "type", "outcome", "input", "record", "head", "format",
)  # fmt: skip
_ENTRY: Final = (
    "shard", "account", "version", "line", "booked_at", "day", "debit", "credit", "points", "lot_day", "lot_parent",
    "rule", "ref", "program",
)  # fmt: skip
_LINES: Final = ("shard", "account", "ref", "telling", "lines")

FEW: Final = 50
"""Inputs up to which one statement writes all tables. Beyond, COPY saves more than its round trips cost."""

AnswerRow = tuple[bytes, Micros, bytes, int, bytes]
"""What a command was answered: digest, time, digest of the request, status, body."""

_Table = list[tuple[Any, ...]]


class _Rows(NamedTuple):
    """The rows of each table, in the order in which the statement `write` takes them."""

    accounts: _Table
    journal: _Table
    entries: _Table
    lots: _Table
    orders: _Table
    lines: _Table
    facts: _Table
    answers: _Table
    outbox: _Table


async def write(
    tx: Connection, shard: Shard, folds: Sequence[Fold], answers: Sequence[AnswerRow], outbox: Sequence[OutboxRow]
) -> None:
    """Writes a batch whose accounts the transaction has locked: few inputs in one statement; of many, the tables that
    are only appended to by COPY."""

    if sum(len(fold.rows) for fold in folds) <= FEW:
        rows = _rows(shard, folds, answers, outbox)
    else:
        rows = _rows(shard, folds, answers, ())
        for table, columns, records in (
            ("journal", _JOURNAL, rows.journal),
            ("entry", _ENTRY, rows.entries),
            ("order_lines", _LINES, rows.lines),
        ):
            if records:
                await tx.copy_records_to_table(table, records=records, columns=columns)
        await append(tx, outbox)
        rows = rows._replace(journal=[], entries=[], lines=[])
    if any(rows):
        await tx.execute(SQL["write"], shard, *_parameters(folds, rows))


async def write_if_unchanged(
    connection: Connection,
    shard: Shard,
    folds: Sequence[Fold],
    answers: Sequence[AnswerRow],
    outbox: Sequence[OutboxRow],
) -> bool:
    """Writes a batch whose accounts were read without a lock, in a statement that is its own transaction. False, and
    nothing is written, if another batch has changed one of these accounts since it was read."""
    folds = sorted(folds, key=_account_number)
    try:
        await connection.execute(SQL["write"], shard, *_parameters(folds, _rows(shard, folds, answers, outbox)))
    except asyncpg.SerializationError:
        return False
    return True


def _account_number(fold: Fold) -> int:
    return fold.member.account.number


def _parameters(folds: Sequence[Fold], rows: _Rows) -> list[Sequence[Any] | None]:
    """The rows of each table, and the versions at which the accounts were read: each row of the journal is one more.

    NULL for an empty table: the driver takes longer to encode an empty array of rows.
    """
    accounts, *others = rows
    versions_read = [fold.member.account.version - len(fold.rows) for fold in folds]
    return [accounts, versions_read, *(table or None for table in others)]


def _rows(shard: Shard, folds: Sequence[Fold], answers: Sequence[AnswerRow], outbox: Sequence[OutboxRow]) -> _Rows:
    return _Rows(
        accounts=[_account_row(fold.member.account) for fold in folds],
        journal=_journal_rows(shard, folds),
        entries=_entry_rows(shard, folds),
        lots=[
            (fold.member.account.number, lot[0], lot[1], *changes, fold.member.lots.end_of(lot))
            for fold in folds
            for lot, changes in fold.member.lots.changes.items()
        ],
        orders=_order_rows(folds),
        lines=[
            (shard, fold.member.account.number, ref, lines_version, encode_lines(lines))
            for fold in folds
            for (ref, lines_version), lines in fold.member.new_lines.items()
        ],
        facts=[
            (fold.member.account.number, key, value)
            for fold in folds
            for key, value in sorted(fold.member.facts.items())
            if value is not None
        ],
        answers=[(shard, *answer) for answer in answers],
        outbox=[(on, None, *record) for on, *record in records_of(outbox)],
    )


def _journal_rows(shard: Shard, folds: Sequence[Fold]) -> _Table:
    return [
        (
            shard, row.arrival.digest, row.arrival.input_.at, fold.member.account.number, row.version, row.now,
            row.type, row.outcome.kind, row.input_, row.record, row.head, FORMAT,
        )
        for fold in folds
        for row in fold.rows
    ]  # fmt: skip


def _entry_rows(shard: Shard, folds: Sequence[Fold]) -> _Table:
    return [
        (
            shard, fold.member.account.number, row.version, line, row.now, entry.day, entry.debit, entry.credit,
            entry.points, entry.lot[0], entry.lot[1], entry.rule, entry.ref, entry.program,
        )
        for fold in folds
        for row in fold.rows
        for line, entry in enumerate(row.outcome.entries, 1)
    ]  # fmt: skip


def _order_rows(folds: Sequence[Fold]) -> _Table:
    return [
        (
            fold.member.account.number,
            ref,
            order.paid_at or None,
            order.due or None,
            order.success_from or None,
            order.success_until or None,
            encode_order(order),
        )
        for fold in folds
        for ref in sorted(fold.member.touched)
        for order in (fold.member.orders[ref],)
    ]


def _account_row(account: Account) -> tuple[Any, ...]:
    return (
        account.number,
        account.version,
        account.head,
        account.now,
        account.next_due,
        account.pending,
        account.available,
        account.held,
        account.debt,
        account.redeemed,
        account.expired,
        account.written_off,
        account.in_transit,
        _encode_details(account.details),
    )
