"""Whether the rows of one account agree with each other and with its journalled inputs. Pure.

There are four proofs, and each finds faults that the others cannot: the chain (no journal row or entry was changed,
removed or added), the sums (account and lots are the sums of the entries), the replay (entries and facts are what the
fold makes of the inputs), and the dates (the due date does not overlook anything).

What an older release has booked is not folded again: the replay of such an account begins at its snapshot (K4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal, NamedTuple

import msgspec

from services.kit.calendar import NEVER, NOT_YET, Day, Micros
from services.ledger.audit.replay import Replay, encode_details
from services.ledger.audit.snapshot import Projections, decode_snapshot, digest_of_snapshot
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import FORMAT, FORMATS, Format, decode_record, next_head
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import GENESIS, Account, Details
from services.ledger.domain.state.entries import KINDS, SLIDING_LOT, AccountName, Entry, LotKey, last_day, slides
from services.ledger.domain.state.inputs import SnapshotTaken, decode_input, type_of
from services.ledger.domain.state.loaded import Missing
from services.ledger.domain.state.lots import AVAILABLE, EXPIRED, FORGIVEN, HELD, PENDING, LotRow
from services.ledger.reads.rows import EntryRow, JournalRow
from services.ledger.reads.sums import Sums, decode_sums

Check = Literal["chain", "entries", "totals", "lots", "replay", "orders", "facts", "due", "identity", "milestones"]
CHECKS: Final[dict[Check, str]] = {
    "chain": "each journal row's hash covers the one before it, without gaps, up to the account's head",
    "entries": "each entry belongs to a journal row, and its two accounts may exchange points",
    "totals": "account totals are the sums of the entries; earned = available + held - debt + redeemed + expired + "
    "written off + in transit",
    "lots": "each lot's columns are the sums of its entries, none below 0",
    "replay": "the inputs, folded again, make the same entries, totals, tiers and debts",
    "orders": "the inputs, folded again, make the same orders and lines, byte for byte",
    "facts": "the inputs, folded again, make the same facts and caps, byte for byte",
    "due": "nothing falls due before next_due",
    "identity": "each member has one account, on the shard of its id",
    "milestones": "each milestone is the sum of the entries up to it",
}

SLICE: Final = 500
"""Inputs that are folded at once, so that a long history is never in memory as a whole."""
_SNAPSHOT: Final = SnapshotTaken.__struct_config__.tag
MAX_FAULTS: Final = 20
"""Faults that are named of one account; there may be more."""
_NO_DETAILS: Final = encode_details(Details())
POINTS: Final[tuple[AccountName, ...]] = (
    "pending", "available", "held", "debt", "redeemed", "expired", "written_off", "in_transit",
)  # fmt: skip
"""The totals of an account that are sums of its entries. `debt` is the negative of its sum."""
_MAY_BE_NEGATIVE: Final = ("redeemed", "written_off", "in_transit")
_COLUMN: Final = {"pending": PENDING, "available": AVAILABLE, "held": HELD}


class Fault(NamedTuple):
    """A check that does not hold of an account, and what is wrong."""

    check: Check
    detail: str


class AccountAudit:
    """The checks of one account: first its journal rows in order, each with its entries, then all that is stored."""

    def __init__(self, programs: ProgramVersions, number: int, member_id: str, snapshot: bytes | None = None) -> None:
        self.faults: list[Fault] = []
        self.sums: Counter[AccountName] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.lacks_snapshot = False
        """Whether an older release has written rows of this account, and no snapshot follows them so far."""
        self._programs = programs
        self._number, self._member_id = number, member_id
        self._snapshot = snapshot
        self._replay: Replay | None = Replay(programs, number, member_id)
        self._version = 0
        self._head = GENESIS
        self._now = NOT_YET
        self._lots: dict[LotKey, list[int]] = {}
        self._slice: list[tuple[Arrival, JournalRow, list[Entry]]] = []

    # The journal and its entries

    def check_journal(self, row: JournalRow, entries: Sequence[EntryRow]) -> None:
        """Check the next row of the journal, with all entries of its version."""
        self.outcomes[row.outcome] += 1
        booked = [entry.entry() for entry in entries]
        self._follow_format(row)
        self._check_chain(row, booked)
        self._collect_input(row, booked)
        for line, entry in enumerate(entries, 1):
            if (entry.line, entry.booked_at) != (line, row.now):
                self._fault("entries", f"entry {entry.version}.{entry.line}: not line {line} of its journal row")
            self._add(entry)

    def _follow_format(self, row: JournalRow) -> None:
        """Do not fold what an older release has written; from the snapshot on that follows it, fold again."""
        if row.format != FORMAT:
            self._replay, self.lacks_snapshot = None, True
        elif self.lacks_snapshot and row.type == _SNAPSHOT and self._snapshot is not None:
            self._begin_at_snapshot(row, self._snapshot)

    def _begin_at_snapshot(self, row: JournalRow, raw: bytes) -> None:
        try:
            snapshot, input_ = decode_snapshot(raw), decode_input(row.input_)
        except msgspec.DecodeError:
            self._fault("replay", f"version {row.version}: the snapshot cannot be read")
            return
        if snapshot.version != self._version:
            return  # this row's snapshot was replaced by a later one
        self.lacks_snapshot = False
        if not isinstance(input_, SnapshotTaken) or input_.digest != digest_of_snapshot(raw):
            self._fault("replay", f"version {row.version}: the snapshot is not what was kept")
        account = snapshot.account(self._number, self._member_id)
        self._check_totals(account)
        self._check_lots(snapshot.lots, account.details.sliding_last_days)
        self._replay = Replay(self._programs, self._number, self._member_id, snapshot)

    def _check_chain(self, row: JournalRow, booked: list[Entry]) -> None:
        if row.version != self._version + 1:
            self._fault("chain", f"version {row.version} follows {self._version}")
        self._version = row.version
        link = (row.digest, row.version, row.at, row.now, row.input_, row.record, booked)
        head = next_head(self._head, link, FORMATS.get(row.format, ""))
        if head != row.head:
            self._fault("chain", f"version {row.version}: the hash is not that of its row, entries and predecessor")
        self._head = row.head
        if row.now < self._now:
            self._fault("chain", f"version {row.version}: arrived before version {row.version - 1}")
        self._now = row.now

    def _collect_input(self, row: JournalRow, booked: list[Entry]) -> None:
        """Read an input for the replay, and compare its columns with its bytes."""
        try:
            input_, outcome = decode_input(row.input_), decode_record(row.record).kind
        except msgspec.DecodeError:
            self._fault("chain", f"version {row.version}: cannot be read")
            self._replay = None
            return
        if (type_of(input_), input_.at, outcome) != (row.type, row.at, row.outcome):
            self._fault("chain", f"version {row.version}: columns differ from the bytes beside them")
        if self._replay is not None:
            self._slice.append((Arrival(row.digest, input_, row.now), row, booked))
        if len(self._slice) == SLICE:
            self._fold_slice()

    def check_milestone(self, version: int, booked_at: Micros, raw: bytes) -> None:
        """Check the milestone of the version whose journal row came last."""
        points: dict[str, int] = {name: sum_ for name, sum_ in self.sums.items() if sum_}
        lots: Counter[Day] = Counter()
        for key, columns in self._lots.items():
            lots[key.day] += columns[AVAILABLE]
        try:
            kept = decode_sums(raw)
        except msgspec.DecodeError:
            kept = None
        expected = Sums(points, {day: available for day, available in lots.items() if available})
        if (version, booked_at, kept) != (self._version, self._now, expected):
            self._fault("milestones", f"version {version}: not the sum of the entries up to it")

    def check_unjournalled(self, entries: Sequence[EntryRow]) -> None:
        """Report entries whose version has no journal row."""
        for entry in entries:
            self._fault("entries", f"entry {entry.version}.{entry.line}: the journal has no version {entry.version}")
            self._add(entry)

    def _add(self, entry: EntryRow) -> None:
        points, debit, credit = entry.points, entry.debit, entry.credit
        if (debit, credit) not in KINDS:
            self._fault("entries", f"entry {entry.version}.{entry.line}: points never move from {debit} to {credit}")
        if entry.program not in self._programs.by_number:
            self._fault("entries", f"entry {entry.version}.{entry.line}: there is no program number {entry.program}")
        self.sums[debit] -= points
        self.sums[credit] += points
        if entry.lot_day:
            self._add_to_lots(entry)

    def _add_to_lots(self, entry: EntryRow) -> None:
        points, debit, credit = entry.points, entry.debit, entry.credit
        columns = self._lots.setdefault(LotKey(entry.lot_day, entry.lot_parent), [0, 0, 0, 0, 0])
        if debit == "pending" and slides(entry.lot_day):
            # Points whose last day slides (E3) are pending in one lot of their own, whatever lot they then go to.
            self._lots.setdefault(SLIDING_LOT, [0, 0, 0, 0, 0])[PENDING] -= points
        elif debit in _COLUMN:
            columns[_COLUMN[debit]] -= points
        if credit in _COLUMN:
            columns[_COLUMN[credit]] += points
        if credit == "expired":
            columns[EXPIRED] += points
        elif debit == "expired":
            # A clawback forgives expired points (R7); an order that honours a late hold takes them back (P7).
            columns[FORGIVEN if credit == "issued" else EXPIRED] += points if credit == "issued" else -points

    # The fold, again

    def _fold_slice(self) -> None:
        """Fold the collected inputs on the state that the earlier slices made, and compare the outcomes."""
        collected, self._slice = self._slice, []
        if self._replay is None or not collected:
            return
        try:
            fold = self._replay.fold([arrival for arrival, _, _ in collected])
        except Missing as question:
            self._end_replay(collected[0][1].version, f"the fold needs what no input states: {question.needs}")
            return
        for index, ((_, row, booked), outcome) in enumerate(zip(collected, fold.outcomes, strict=True)):
            if outcome is None or outcome.kind == "failed":
                self._end_replay(row.version, "there is no outcome" if outcome is None else outcome.detail)
                return
            # Every outcome before this one has a row, so the index is the row's as well.
            if fold.rows[index].record != row.record:
                self._end_replay(row.version, f"the outcome would be {outcome.kind} {outcome.reasons}")
                return
            if outcome.entries != booked:
                self._end_replay(row.version, f"the entries would be {[_short(entry) for entry in outcome.entries]}")
                return

    def _end_replay(self, version: int, detail: str) -> None:
        """Report the first difference, and replay no further: everything later would differ too."""
        self._fault("replay", f"version {version}, folded again: {detail}")
        self._replay = None

    # What is stored beside the journal

    def check_stored(
        self, account: Account | None, details: bytes, stored: Projections, format_: Format = FORMAT
    ) -> None:
        """Check the account's row and all projections, after the last row of the journal. `format_` is the format from
        which on the row says that its inputs can be folded again."""
        self._fold_slice()
        if self.lacks_snapshot and format_ == FORMAT:
            self._fault("replay", "the snapshot that was taken after an upgrade is missing")
        if account is None:
            self._fault("identity", "there are rows, but no account row")
        else:
            self._check_totals(account)
            self._check_due(account, stored)
        self._check_lots(stored.lots, account.details.sliding_last_days if account is not None else [])
        replay = self._replay
        if replay is None:
            return
        if account is not None:
            self._compare_account(account, details, replay)
        self._compare("orders", "order", stored.orders, replay.orders)
        self._compare("orders", "lines of order", stored.lines, replay.lines)
        self._compare("facts", "fact", stored.facts, replay.facts)

    def _check_totals(self, account: Account) -> None:
        if (account.version, account.head) != (self._version, self._head):
            self._fault("chain", f"the account ends at version {account.version}, the journal at {self._version}")
        for name in POINTS:
            stored, summed = getattr(account, name), self.sums[name]
            if name == "debt":
                summed = -summed
            if stored != summed:
                self._fault("totals", f"{name} is {stored}, the entries say {summed}")
            if summed < 0 and name not in _MAY_BE_NEGATIVE:
                self._fault("totals", f"the entries make {name} {summed}")
        owed = sum(debt.points for debt in account.details.debts)
        if owed != account.debt:
            self._fault("totals", f"debt is {account.debt}, by order {owed}")
        issued, accounted_for = -self.sums["issued"], account.earned + account.pending
        if accounted_for != issued:
            self._fault("totals", f"earned and pending are {accounted_for}, issued {issued}")

    def _check_lots(self, lots: Sequence[LotRow], slid: Sequence[Day]) -> None:
        unseen = dict(self._lots)
        for lot in lots:
            summed = unseen.pop(lot.lot, [0, 0, 0, 0, 0])
            columns = lot.columns()
            if columns != summed:
                self._fault("lots", f"lot {lot_name(lot.day, lot.parent)} is {columns}, the entries say {summed}")
            if lot.ends is not None and lot.ends != last_day(lot.day, slid):
                self._fault("lots", f"lot {lot_name(lot.day, lot.parent)} ends on {date.fromordinal(lot.ends)}")
        for key, summed in unseen.items():
            if any(summed):
                self._fault("lots", f"lot {lot_name(*key)} is missing, the entries say {summed}")
        for key, summed in self._lots.items():
            if min(summed) < 0 or summed[FORGIVEN] > summed[EXPIRED]:
                self._fault("lots", f"the entries make lot {lot_name(*key)} {summed}")

    def _check_due(self, account: Account, stored: Projections) -> None:
        calendar = self._programs.at(account.now).calendar
        dates = [due for _, due, _, _, _ in stored.orders.values() if due]
        last_days = [last_day(lot.day, account.details.sliding_last_days) for lot in stored.lots if lot.available > 0]
        dates += [calendar.end_of(day) for day in last_days if day != NEVER]
        dates += [expires_at for expires_at, _ in account.details.holds]
        dates += [until for until, _ in account.details.waiting_referrals]
        if dates and (account.next_due is None or account.next_due > min(dates)):
            self._fault("due", f"next_due is {account.next_due}, something falls due at {min(dates)}")

    def _compare_account(self, account: Account, details: bytes, replay: Replay) -> None:
        again = replay.account
        for name in ("version", *POINTS):
            stored, folded = getattr(account, name), getattr(again, name)
            if stored != folded:
                self._fault("replay", f"{name} is {stored}, folded again {folded}")
        if (details or _NO_DETAILS) != replay.details():
            self._fault("replay", "tiers, debts, bonus or counters differ from what the fold makes of the inputs")

    def _compare(self, check: Check, noun: str, stored: Mapping[Any, object], again: Mapping[Any, object]) -> None:
        if stored == again:
            return
        for key in sorted(stored.keys() | again.keys(), key=str):
            if key not in stored:
                self._fault(check, f"{noun} {key} is missing")
            elif key not in again:
                self._fault(check, f"{noun} {key} comes from no input")
            elif stored[key] != again[key]:
                self._fault(check, f"{noun} {key} differs from what the fold makes of the inputs")

    def _fault(self, check: Check, detail: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(check, detail))


def _short(entry: Entry) -> tuple[object, ...]:
    """What a fault says of an entry."""
    return entry.debit, entry.credit, entry.points, entry.rule, entry.ref


def lot_name(day: Day, parent: Day) -> str:
    """A lot by its last day."""
    last = "without end" if day == NEVER else date.fromordinal(day).isoformat()
    return f"{last} (grace of {date.fromordinal(parent).isoformat()})" if parent else last
