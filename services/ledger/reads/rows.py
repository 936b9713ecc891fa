"""Rows of the journal and of the entries, as they are stored."""

from __future__ import annotations

from typing import NamedTuple

from services.kit.calendar import Day, Micros
from services.ledger.domain.chain import Format
from services.ledger.domain.state.entries import KINDS, AccountName, Entry, EntryKind, LotKey


class JournalRow(NamedTuple):
    """What was journalled of one input, without its entries."""

    account: int
    version: int
    digest: bytes
    at: Micros
    now: Micros
    type: str
    outcome: str
    input_: bytes
    record: bytes
    head: bytes
    format: Format


class EntryRow(NamedTuple):
    """An entry of an account: `points` of a lot moved from `debit` to `credit`."""

    version: int
    line: int
    booked_at: Micros
    day: Day
    debit: AccountName
    credit: AccountName
    points: int
    lot_day: Day
    lot_parent: Day
    rule: str
    ref: str
    program: int

    @property
    def kind(self) -> EntryKind:
        """The entry's name in the contract."""
        return KINDS[self.debit, self.credit]

    def entry(self) -> Entry:
        """The entry as the fold made it and as the chain hashes it."""
        return Entry(
            self.debit, self.credit, self.points, LotKey(self.lot_day, self.lot_parent), self.rule, self.ref, self.day,
            self.program,
        )  # fmt: skip
