"""Whether one account's rows agree with each other, and with what its journalled inputs say. Pure.

Four proofs, each of which sees what the others might not: the chain (no journal row or entry was changed, removed
or added), the sums (account and lots are what the entries add up to), the replay (the entries and the facts are
what the fold makes of the inputs), and the dates (nothing that is due can be overlooked).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal, NamedTuple

import msgspec

from services.kit.calendar import NEVER, Day, Micros
from services.ledger.audit.replay import OrderRow, Replay, encode_details
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import decode_record, next_head
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import GENESIS, Account, Details
from services.ledger.domain.state.entries import KINDS, SLIDING_LOT, AccountName, Entry, LotKey, last_day, slides
from services.ledger.domain.state.inputs import decode_input, type_of
from services.ledger.domain.state.loaded import Missing
from services.ledger.domain.state.lots import AVAILABLE, EXPIRED, FORGIVEN, HELD, PENDING, LotRow
from services.ledger.reads.rows import EntryRow, JournalRow

Check = Literal["chain", "entries", "totals", "lots", "replay", "orders", "facts", "due", "identity"]
CHECKS: Final[dict[Check, str]] = {
    "chain": "each journal row's hash covers the one before it, without gaps, up to the account's head",
    "entries": "each entry belongs to a journal row and is a move that exists",
    "totals": "account totals are the sums of the entries; earned = available + held - debt + redeemed + expired + "
    "written off + in transit",
    "lots": "each lot's columns are the sums of its entries, none below 0",
    "replay": "the inputs, folded again, make the same entries, totals, tiers and debts",
    "orders": "the inputs, folded again, make the same orders and lines, byte for byte",
    "facts": "the inputs, folded again, make the same facts and caps, byte for byte",
    "due": "next_due is not after anything that falls due",
    "identity": "each member has one account, on the shard of its id",
}

SLICE: Final = 500
"""Inputs folded at once: long histories stay out of memory."""
MAX_FAULTS: Final = 20
"""Named for one account; there may be more."""
_NO_DETAILS: Final = encode_details(Details())
_COLUMN: Final = {"pending": PENDING, "available": AVAILABLE, "held": HELD}


class Fault(NamedTuple):
    """Something that does not hold of an account."""

    check: Check
    detail: str


class Projections(NamedTuple):
    """What is stored of an account besides its journal and entries."""

    lots: Sequence[LotRow]
    orders: Mapping[str, OrderRow]
    lines: Mapping[tuple[str, int], bytes]
    facts: Mapping[str, bytes]


class Audit:
    """One account: its journal rows are given in order, each with its entries; then what is stored beside them."""

    def __init__(self, programs: ProgramVersions, number: int, member_id: str) -> None:
        self.faults: list[Fault] = []
        self.sums: Counter[AccountName] = Counter()
        self.outcomes: Counter[str] = Counter()
        self._programs = programs
        self._replica: Replay | None = Replay(programs, number, member_id)
        self._version = 0
        self._head = GENESIS
        self._now: Micros = 0
        self._lots: dict[LotKey, list[int]] = {}
        self._slice: list[tuple[Arrival, JournalRow, list[Entry]]] = []

    # The journal and its entries

    def journal(self, row: JournalRow, entries: Sequence[EntryRow]) -> None:
        """The next row of the journal, with all entries of its version."""
        self.outcomes[row.outcome] += 1
        if row.version != self._version + 1:
            self._fault("chain", f"version {row.version} follows {self._version}")
        self._version = row.version
        booked = [entry.entry() for entry in entries]
        head = next_head(self._head, row.digest, row.version, row.at, row.now, row.input_, row.record, booked)
        if head != row.head:
            self._fault("chain", f"version {row.version}: the hash is not that of its row, entries and predecessor")
        self._head = row.head
        if row.now < self._now:
            self._fault("chain", f"version {row.version}: arrived before version {row.version - 1}")
        self._now = row.now
        try:
            input_, outcome = decode_input(row.input_), decode_record(row.record).kind
        except msgspec.DecodeError:
            self._fault("chain", f"version {row.version}: cannot be read")
            self._replica = None
        else:
            if (type_of(input_), input_.at, outcome) != (row.type, row.at, row.outcome):
                self._fault("chain", f"version {row.version}: columns differ from the bytes beside them")
            self._slice.append((Arrival(row.digest, input_, row.now), row, booked))
            if len(self._slice) == SLICE:
                self._replay()
        for line, entry in enumerate(entries, 1):
            if (entry.line, entry.booked_at) != (line, row.now):
                self._fault("entries", f"entry {entry.version}.{entry.line}: not line {line} of its journal row")
            self._add(entry)

    def stray(self, entries: Sequence[EntryRow]) -> None:
        """Entries that no journal row has."""
        for entry in entries:
            self._fault("entries", f"entry {entry.version}.{entry.line}: the journal has no version {entry.version}")
            self._add(entry)

    def _add(self, entry: EntryRow) -> None:
        points, debit, credit = entry.points, entry.debit, entry.credit
        if (debit, credit) not in KINDS:
            self._fault("entries", f"entry {entry.version}.{entry.line}: no move goes from {debit} to {credit}")
        if entry.program not in self._programs.by_number:
            self._fault("entries", f"entry {entry.version}.{entry.line}: there is no program number {entry.program}")
        self.sums[debit] -= points
        self.sums[credit] += points
        if not entry.lot_day:
            return
        columns = self._lots.setdefault(LotKey(entry.lot_day, entry.lot_parent), [0, 0, 0, 0, 0])
        if debit == "pending" and slides(entry.lot_day):
            # What slides is pending in a lot of its own, whichever it then goes to (E3).
            self._lots.setdefault(SLIDING_LOT, [0, 0, 0, 0, 0])[PENDING] -= points
        elif debit in _COLUMN:
            columns[_COLUMN[debit]] -= points
        if credit in _COLUMN:
            columns[_COLUMN[credit]] += points
        if credit == "expired":
            columns[EXPIRED] += points
        elif debit == "expired":
            # A clawback forgives them (R7); an order that a late hold honours takes them back (P7).
            columns[FORGIVEN if credit == "issued" else EXPIRED] += points if credit == "issued" else -points

    # The fold, again

    def _replay(self) -> None:
        """Fold the slice at hand on the state that the slices before it made."""
        told, self._slice = self._slice, []
        if self._replica is None or not told:
            return
        try:
            fold = self._replica.fold([arrival for arrival, _, _ in told])
        except Missing as question:
            self._give_up(told[0][1].version, f"asks for what no input told: {question.needs}")
            return
        for index, ((_, row, booked), outcome) in enumerate(zip(told, fold.outcomes, strict=True)):
            if outcome is None or outcome.kind == "failed":
                self._give_up(row.version, "nothing comes of it" if outcome is None else outcome.detail)
                return
            # Every outcome before this one has its row.
            if fold.rows[index].record != row.record:
                self._give_up(row.version, f"the outcome would be {outcome.kind} {outcome.reasons}")
                return
            if outcome.entries != booked:
                self._give_up(row.version, f"the entries would be {[tuple_of(entry) for entry in outcome.entries]}")
                return

    def _give_up(self, version: int, detail: str) -> None:
        """After the first difference everything later would differ too."""
        self._fault("replay", f"version {version}, folded again: {detail}")
        self._replica = None

    # What is stored beside the journal

    def finish(self, account: Account | None, details: bytes, stored: Projections) -> None:
        """The account's row and all projections, once its journal is through."""
        self._replay()
        if account is None:
            self._fault("identity", "rows without an account row")
        else:
            self._totals(account)
            self._due(account, stored)
        self._stored_lots(stored.lots, account.details.sliding_last_days if account is not None else [])
        replica = self._replica
        if replica is None:
            return
        if account is not None:
            self._replayed(account, details, replica)
        self._same("orders", "order", stored.orders, replica.orders)
        self._same("orders", "lines of order", stored.lines, replica.lines)
        self._same("facts", "fact", stored.facts, replica.facts)

    def _totals(self, account: Account) -> None:
        if (account.version, account.head) != (self._version, self._head):
            self._fault("chain", f"the account ends at version {account.version}, the journal at {self._version}")
        sums = self.sums
        named = {
            "pending": (account.pending, sums["pending"]),
            "available": (account.available, sums["available"]),
            "held": (account.held, sums["held"]),
            "debt": (account.debt, -sums["debt"]),
            "redeemed": (account.redeemed, sums["redeemed"]),
            "expired": (account.expired, sums["expired"]),
            "written_off": (account.written_off, sums["written_off"]),
            "in_transit": (account.in_transit, sums["in_transit"]),
        }
        for name, (stored, summed) in named.items():
            if stored != summed:
                self._fault("totals", f"{name} is {stored}, the entries say {summed}")
            if summed < 0 and name not in ("redeemed", "written_off", "in_transit"):
                self._fault("totals", f"the entries make {name} {summed}")
        owed = sum(debt.points for debt in account.details.debts)
        if owed != account.debt:
            self._fault("totals", f"debt is {account.debt}, by order {owed}")
        if account.earned + account.pending != -sums["issued"]:
            self._fault(
                "totals", f"earned and pending are {account.earned + account.pending}, issued {-sums['issued']}"
            )

    def _stored_lots(self, lots: Sequence[LotRow], slid: Sequence[Day]) -> None:
        unseen = dict(self._lots)
        for lot in lots:
            summed = unseen.pop(lot.lot, [0, 0, 0, 0, 0])
            columns = [lot.pending, lot.available, lot.held, lot.expired, lot.forgiven]
            if columns != summed:
                self._fault("lots", f"lot {name_of(lot.day, lot.parent)} is {columns}, the entries say {summed}")
            if lot.ends is not None and lot.ends != last_day(lot.day, slid):
                self._fault("lots", f"lot {name_of(lot.day, lot.parent)} ends on {date.fromordinal(lot.ends)}")
        for key, summed in unseen.items():
            if any(summed):
                self._fault("lots", f"lot {name_of(*key)} is missing, the entries say {summed}")
        for key, summed in self._lots.items():
            if min(summed) < 0 or summed[FORGIVEN] > summed[EXPIRED]:
                self._fault("lots", f"the entries make lot {name_of(*key)} {summed}")

    def _due(self, account: Account, stored: Projections) -> None:
        calendar = self._programs.at(account.now).calendar
        dates = [due for _, due, _, _, _ in stored.orders.values() if due]
        last_days = [last_day(lot.day, account.details.sliding_last_days) for lot in stored.lots if lot.available > 0]
        dates += [calendar.end_of(day) for day in last_days if day != NEVER]
        dates += [expires_at for expires_at, _ in account.details.holds]
        if dates and (account.next_due is None or account.next_due > min(dates)):
            self._fault("due", f"next_due is {account.next_due}, something falls due at {min(dates)}")

    def _replayed(self, account: Account, details: bytes, replica: Replay) -> None:
        again = replica.account
        totals = ("version", "pending", "available", "held", "debt", "redeemed", "expired", "written_off", "in_transit")
        for name in totals:
            stored, folded = getattr(account, name), getattr(again, name)
            if stored != folded:
                self._fault("replay", f"{name} is {stored}, folded again {folded}")
        if (details or _NO_DETAILS) != replica.details():
            self._fault("replay", "tiers, debts, bonus or counters differ from what the fold makes of the inputs")

    def _same(self, check: Check, noun: str, stored: Mapping[Any, object], again: Mapping[Any, object]) -> None:
        if stored == again:
            return
        for key in sorted(stored.keys() | again.keys(), key=str):
            if key not in stored:
                self._fault(check, f"{noun} {key} is missing")
            elif key not in again:
                self._fault(check, f"{noun} {key} was never told")
            elif stored[key] != again[key]:
                self._fault(check, f"{noun} {key} differs from what the fold makes of the inputs")

    def _fault(self, check: Check, detail: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(check, detail))


def tuple_of(entry: Entry) -> tuple[object, ...]:
    """An entry in short, for a fault's words."""
    return entry.debit, entry.credit, entry.points, entry.rule, entry.ref


def name_of(day: Day, parent: Day) -> str:
    """A lot in words."""
    last = "without end" if day == NEVER else date.fromordinal(day).isoformat()
    return f"{last} (grace of {date.fromordinal(parent).isoformat()})" if parent else last
