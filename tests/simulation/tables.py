"""The ledger's tables in memory: what was committed, by the keys of PostgreSQL's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import asyncpg

from services.kit.calendar import Day
from services.ledger.domain.state.account import GENESIS
from services.ledger.domain.state.entries import LotKey

_TOTALS: Final = (
    "version", "head", "now", "next_due", "pending", "available", "held", "debt", "redeemed", "expired", "written_off",
    "in_transit", "details",
)  # fmt: skip
_OPENED: Final = (0, GENESIS, 0, None, 0, 0, 0, 0, 0, 0, 0, 0, b"")

Account = tuple[int, int]
"""(shard, number)."""


class Row(dict[Any, Any]):
    """A row by column name, or by place as a `Record` is."""

    def __missing__(self, place: int) -> Any:
        return tuple(self.values())[place]


class Database:
    """What was committed, and who holds which rows."""

    def __init__(self, programs: Sequence[str]) -> None:
        """`programs` are documents, each the next version."""
        self.programs = [Row(number=number, document=document) for number, document in enumerate(programs, 1)]
        self.identities: dict[tuple[int, str], int] = {}
        self.accounts: dict[Account, Row] = {}
        self.journal: dict[tuple[int, bytes, int], tuple[Any, ...]] = {}
        self.times: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
        """By (shard, digest), under which times it is journalled."""
        self.entries: defaultdict[Account, list[tuple[Any, ...]]] = defaultdict(list)
        self.lots: defaultdict[Account, dict[LotKey, list[int]]] = defaultdict(dict)
        self.ends: defaultdict[Account, dict[LotKey, Day | None]] = defaultdict(dict)
        self.orders: defaultdict[Account, dict[str, Row]] = defaultdict(dict)
        self.lines: defaultdict[Account, dict[tuple[str, int], bytes]] = defaultdict(dict)
        self.facts: defaultdict[Account, dict[str, bytes]] = defaultdict(dict)
        self.answers: dict[tuple[int, bytes], Row] = {}
        self.offsets: dict[tuple[int, str], int] = {}
        self.outbox: list[tuple[Any, ...]] = []
        self.opened = 0
        self.locks: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)

    def open_account(self, shard: int, member: str) -> None:
        """A new account, as its row's defaults say."""
        self.opened += 1
        self.identities[shard, member] = self.opened
        self.accounts[shard, self.opened] = Row(zip(_TOTALS, _OPENED, strict=True))

    def apply(self, write: str, rows: Iterable[Sequence[Any]], shard: int) -> None:
        """Make the rows of one table everybody's."""
        _APPLY[write](self, shard, rows)

    def _journal(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            key = (row[0], row[1], row[2])
            if key in self.journal:
                raise asyncpg.UniqueViolationError(f"journal_pkey: {key}")
            self.journal[key] = tuple(row)
            self.times[row[0], row[1]].append(row[2])

    def _entries(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self.entries[row[0], row[1]].append(tuple(row))

    def _lines(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        for _, account, ref, telling, lines in rows:
            if self.lines[shard, account].setdefault((ref, telling), lines) is not lines:
                raise asyncpg.UniqueViolationError(f"order_lines_pkey: {ref} {telling}")

    def _totals(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        for account, *totals in rows:
            self.accounts[shard, account].update(zip(_TOTALS, totals, strict=True))

    def _lots(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        for account, day, parent, *changes, ends in rows:
            lot = LotKey(day, parent)
            columns = self.lots[shard, account].setdefault(lot, [0, 0, 0, 0, 0])
            columns[:] = [before + change for before, change in zip(columns, changes, strict=True)]
            self.ends[shard, account][lot] = ends

    def _orders(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        names = ("account", "ref", "paid_at", "due", "success_from", "success_until", "state")
        for row in rows:
            self.orders[shard, row[0]][row[1]] = Row(zip(names, row, strict=True))

    def _facts(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        for account, key, value in rows:
            self.facts[shard, account][key] = value

    def _answers(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        names = ("digest", "at", "request", "status", "body")
        for _, *row in rows:
            self.answers[shard, row[0]] = Row(zip(names, row, strict=True))

    def _outbox(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        self.outbox.extend(map(tuple, rows))

    def _outbox_rows(self, shard: int, rows: Iterable[Sequence[Any]]) -> None:
        self.outbox.extend((shard, *record) for shard, _, *record in rows)


_APPLY: Final[dict[str, Callable[[Database, int, Iterable[Sequence[Any]]], None]]] = {
    "journal": Database._journal,
    "entries": Database._entries,
    "lines": Database._lines,
    "accounts": Database._totals,
    "lots": Database._lots,
    "orders": Database._orders,
    "facts": Database._facts,
    "answers": Database._answers,
    "outbox": Database._outbox_rows,
    "appended": Database._outbox,
}
