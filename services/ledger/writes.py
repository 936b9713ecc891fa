"""What the ledger writes in PostgreSQL for a batch of one shard: by whoever holds its accounts, or at once.

Rows travel as arrays of row types. The journal and the entries are appended to; accounts, orders and facts are written
whole, and lots as differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import asyncpg
import msgspec

from services.kit.calendar import Micros
from services.kit.outbox import OutboxRow, append, records_of
from services.kit.postgres import Connection
from services.ledger.domain.batch import Fold
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.orders import encode_lines, encode_order
from services.ledger.store import SQL

_encode_details = msgspec.msgpack.Encoder().encode
_JOURNAL: Final = (
    "shard", "digest", "at", "account", "version", "now", "type", "outcome", "input", "record", "head",
)  # fmt: skip
_ENTRY: Final = (
    "shard", "account", "version", "line", "booked_at", "day", "debit", "credit", "points", "lot_day", "lot_parent",
    "rule", "ref", "program",
)  # fmt: skip
_LINES: Final = ("shard", "account", "ref", "telling", "lines")


_APPENDS: Final = {
    "write_journal": ("journal", _JOURNAL),
    "write_entries": ("entry", _ENTRY),
    "write_lines": ("order_lines", _LINES),
}
_CHANGES: Final = ("write_accounts", "write_lots", "write_orders", "write_facts", "write_answers")
FEW: Final = 50
"""Inputs up to which one statement writes all tables. Beyond, COPY wins what its round trips cost."""


AnswerRow = tuple[bytes, Micros, bytes, int, bytes]
"""What a command was answered: digest, time, digest of the request, status, body."""


async def write(
    tx: Connection, shard: int, folds: Sequence[Fold], answers: Sequence[AnswerRow], outbox: Sequence[OutboxRow]
) -> None:
    """Writes what a batch has changed, answered and has to tell: in one statement, or if it is much by COPY and arrays
    of rows."""
    rows = _rows(shard, folds, answers)
    if len(rows["write_journal"]) <= FEW:
        rows["write_outbox"] = _told(outbox)
        names = tuple(name for name, filled in rows.items() if filled)
        if names:
            await tx.execute(_together(names), shard, *(rows[name] for name in names))
        return
    for name, (table, columns) in _APPENDS.items():
        if rows[name]:
            await tx.copy_records_to_table(table, records=rows[name], columns=columns)
    for name in _CHANGES:
        if rows[name]:
            await tx.execute(SQL[name], shard, rows[name])
    await append(tx, outbox)


async def write_if_unchanged(
    connection: Connection,
    shard: int,
    folds: Sequence[Fold],
    answers: Sequence[AnswerRow],
    outbox: Sequence[OutboxRow],
) -> bool:
    """Writes all that one more version of each of these accounts has changed, answered and has to tell, in a statement
    that is its own transaction. False, and nothing is written, if an account has moved since it was read."""
    rows = _rows(shard, sorted(folds, key=_account_number), answers)
    rows = {"compare_and_set_accounts": rows.pop("write_accounts"), **rows, "write_outbox": _told(outbox)}
    names = tuple(name for name, filled in rows.items() if filled)
    try:
        await connection.execute(_together(names), shard, *(rows[name] for name in names))
    except asyncpg.DivisionByZeroError:
        return False
    return True


def _account_number(fold: Fold) -> int:
    return fold.member.account.number


@cache
def _together(names: tuple[str, ...]) -> str:
    """One statement of several, each with its array of rows. What stands behind `compare_and_set_accounts` is not
    begun before all accounts have moved, and its row locks are held: so ids of the outbox have a member's order, and
    the others cannot meet another batch's rows. One that has not moved makes an error of the whole."""
    parts = {name: SQL[name].replace("$2", f"${number}") for number, name in enumerate(names, 2)}
    statement = ",\n".join(f"{name} AS ({text})" for name, text in parts.items())
    if names[0] == "compare_and_set_accounts":
        rest = ",\n".join(
            f"{name} AS ({parts[name].replace('FROM unnest(', 'FROM all_moved, unnest(')})" for name in names[1:]
        )
        statement = (
            f"compare_and_set_accounts AS ({parts['compare_and_set_accounts']}),\n"
            "all_moved AS (SELECT FROM compare_and_set_accounts "
            f"HAVING 1 / (count(*) = cardinality($2))::integer = 1),\n{rest}"
        )
    return f"WITH {statement}\nSELECT $1::smallint"


_Rows = dict[str, list[tuple[Any, ...]]]


def _rows(shard: int, folds: Sequence[Fold], answers: Sequence[AnswerRow]) -> _Rows:
    answered = [(shard, *answer) for answer in answers]
    return {**_appended(shard, folds), **_changed(folds), "write_answers": answered}


def _told(outbox: Sequence[OutboxRow]) -> list[tuple[Any, ...]]:
    return [(shard, None, *record) for shard, *record in records_of(outbox)]


def _appended(shard: int, folds: Sequence[Fold]) -> _Rows:
    journal: list[tuple[Any, ...]] = []
    entries: list[tuple[Any, ...]] = []
    lines: list[tuple[Any, ...]] = []
    for fold in folds:
        account = fold.member.account.number
        for row in fold.rows:
            outcome = row.outcome
            journal.append(
                (
                    shard, row.arrival.digest, row.arrival.input_.at, account, row.version, row.now, row.type,
                    outcome.kind, row.input_, row.record, row.head,
                )
            )  # fmt: skip
            version, now = row.version, row.now
            for line, entry in enumerate(outcome.entries, 1):
                entries.append(
                    (
                        shard, account, version, line, now, entry.day, entry.debit, entry.credit, entry.points,
                        entry.lot[0], entry.lot[1], entry.rule, entry.ref, entry.program,
                    )
                )  # fmt: skip
        for (ref, lines_version), told in fold.member.new_lines.items():
            lines.append((shard, account, ref, lines_version, encode_lines(told)))
    return {"write_journal": journal, "write_entries": entries, "write_lines": lines}


def _changed(folds: Sequence[Fold]) -> _Rows:
    lots = [
        (fold.member.account.number, lot[0], lot[1], *changes, fold.member.lots.end_of(lot))
        for fold in folds
        for lot, changes in fold.member.lots.changes.items()
    ]
    orders = [
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
    facts = [
        (fold.member.account.number, key, value)
        for fold in folds
        for key, value in sorted(fold.member.facts.items())
        if value is not None
    ]
    accounts = [_account_row(fold.member.account) for fold in folds]
    return {"write_accounts": accounts, "write_lots": lots, "write_orders": orders, "write_facts": facts}


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
