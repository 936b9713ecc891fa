"""The audit of one account: what an older release has written, and a history that begins at a snapshot (K4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from schemas import program
from services.kit.calendar import parse_rfc3339
from services.ledger.audit.account import AccountAudit, Fault
from services.ledger.audit.replay import Replay, encode_details
from services.ledger.audit.snapshot import OrderRow, Projections, decode_snapshot, digest_of_snapshot, encode_snapshot
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import FORMAT, FORMATS, Format, next_head
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.domain.state.account import GENESIS
from services.ledger.domain.state.inputs import SnapshotTaken
from services.ledger.domain.state.lots import lot_row
from services.ledger.domain.state.orders import decode_order
from services.ledger.reads.rows import EntryRow, JournalRow
from tests.conftest import REPOSITORY
from tests.formats import History, histories_of_format_1
from tests.model import events as shop
from tests.unit.ledger_member import MemoryLedger

Rows = list[tuple[JournalRow, list[EntryRow]]]
OLD = Format(1)
DOCUMENT = program.load((REPOSITORY / "deploy" / "program.yaml").read_text("utf-8")).document()


@pytest.fixture(scope="module")
def histories() -> Sequence[History]:
    return list(histories_of_format_1())


def audited(history: History, member_id: str, rows: Sequence[tuple[JournalRow, list[EntryRow]]]) -> AccountAudit:
    programs = ProgramVersions(compile_program(number, each) for number, each in enumerate(history.programs, 1))
    audit = AccountAudit(programs, 1, member_id)
    for row, entries in rows:
        audit.check_journal(row, entries)
    return audit


def test_K4_journals_of_the_first_format_hold(histories: Sequence[History]) -> None:
    rows = 0
    for history in histories:
        for member_id, account in history.accounts.items():
            audit = audited(history, member_id, account)
            assert audit.faults == []
            assert audit.lacks_snapshot
            rows += len(account)
    assert rows > 9_000


Change = Callable[[JournalRow, list[EntryRow]], tuple[JournalRow, list[EntryRow]]]


@pytest.mark.parametrize(
    "change",
    [
        lambda row, entries: (row._replace(record=row.record[:-1] + b"\x91"), entries),
        lambda row, entries: (row._replace(now=row.now + 1), entries),
        lambda row, entries: (row._replace(format=FORMAT), entries),
        lambda row, entries: (row._replace(format=Format(0)), entries),
        lambda row, entries: (row, [entries[0]._replace(points=entries[0].points + 1), *entries[1:]]),
        lambda row, entries: (row, entries[1:]),
    ],
    ids=["outcome", "arrival", "format", "no format", "points", "entry"],
)
def test_K4_a_changed_row_of_the_first_format_is_found(histories: Sequence[History], change: Change) -> None:
    history = histories[0]
    (member_id, rows), *_ = history.accounts.items()
    place = next(place for place, (_, entries) in enumerate(rows) if entries)
    changed = [*rows[:place], change(*rows[place]), *rows[place + 1 :]]
    assert "chain" in {fault.check for fault in audited(history, member_id, changed).faults}


# A ledger that was upgraded: its first rows are of the format before, then its snapshot is taken, then it goes on.


class Upgraded:
    """An account of some orders, of which the rows up to the snapshot are written as the release before wrote them."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger(DOCUMENT)
        self.ledger.arrive(shop.paid("o1", shop.d(1), "900"), parse_rfc3339(shop.d(1, "10:00:01")))
        self.ledger.arrive(shop.completed("o1", shop.d(5)), parse_rfc3339(shop.d(5, "10:00:01")))
        self.ledger.arrive(shop.paid("o2", shop.d(6), "300"), parse_rfc3339(shop.d(6, "10:00:01")))
        self.old = len(self.ledger.journal)
        self._write_as_the_release_before()
        self.snapshot = self.stored_snapshot()
        taken = SnapshotTaken("/s", "snapshot", self.ledger.clock, self.old, digest_of_snapshot(self.snapshot))
        self.ledger.do(taken, self.ledger.clock)
        self.ledger.arrive(shop.completed("o2", shop.d(9)), parse_rfc3339(shop.d(9, "10:00:01")))
        self.ledger.arrive(shop.refunded("o1", shop.d(10), "200"), parse_rfc3339(shop.d(10, "10:00:01")))

    def _write_as_the_release_before(self) -> None:
        head = GENESIS
        for row in self.ledger.journal:
            link = (row.arrival.digest, row.version, row.arrival.input_.at, row.now, row.input_, row.record)
            row.head = head = next_head(head, (*link, row.outcome.entries), FORMATS[OLD])
        self.ledger.account.head = head

    def stored(self) -> Projections:
        return Projections(
            lots=[lot_row(key, columns) for key, columns in self.ledger.lots.items()],
            orders={ref: _order_row(state) for ref, state in self.ledger.orders.items()},
            lines=dict(self.ledger.lines),
            facts=dict(self.ledger.facts),
        )

    def stored_snapshot(self) -> bytes:
        account = self.ledger.account
        row = {name: getattr(account, name) for name in account.__struct_fields__}
        return encode_snapshot({**row, "details": encode_details(account.details)}, self.stored())

    def rows(self) -> Rows:
        return [
            (
                JournalRow(
                    1, row.version, row.arrival.digest, row.arrival.input_.at, row.now, row.type, row.outcome.kind,
                    row.input_, row.record, row.head, FORMAT if place >= self.old else OLD,
                ),
                [
                    EntryRow(
                        row.version, line, row.now, entry.day, entry.debit, entry.credit, entry.points, *entry.lot,
                        entry.rule, entry.ref, entry.program,
                    )
                    for line, entry in enumerate(row.outcome.entries, 1)
                ],
            )
            for place, row in enumerate(self.ledger.journal)
        ]  # fmt: skip

    def faults(self, snapshot: bytes | None, *, stored: Projections | None = None) -> list[Fault]:
        """What an audit finds."""
        audit = AccountAudit(self.ledger.programs, 1, "m1", snapshot)
        for row, entries in self.rows():
            audit.check_journal(row, entries)
        account = self.ledger.account
        audit.check_stored(account, encode_details(account.details), stored or self.stored())
        return audit.faults


def _order_row(state: bytes) -> OrderRow:
    order = decode_order(state)
    return order.paid_at, order.due, order.success_from, order.success_until, state


@pytest.fixture(scope="module")
def upgraded() -> Upgraded:
    return Upgraded()


def test_K4_an_upgraded_account_is_folded_from_its_snapshot_on(upgraded: Upgraded) -> None:
    assert upgraded.faults(upgraded.snapshot) == []


def test_K4_what_is_booked_after_the_snapshot_is_folded_again(upgraded: Upgraded) -> None:
    stored = upgraded.stored()
    orders = {ref: (*row[:-1], row[-1] + b"\x00") for ref, row in stored.orders.items()}
    assert {fault.check for fault in upgraded.faults(upgraded.snapshot, stored=stored._replace(orders=orders))} == {
        "orders"
    }


def test_K4_a_missing_snapshot_is_found(upgraded: Upgraded) -> None:
    (fault,) = upgraded.faults(None)
    assert fault.check == "replay"
    assert "snapshot" in fault.detail


def test_K4_a_changed_snapshot_is_found(upgraded: Upgraded) -> None:
    snapshot = msgspec.msgpack.decode(upgraded.snapshot)
    account = upgraded.ledger.account
    available = account.__struct_fields__.index("available") - 2
    snapshot[available] += 5
    faults = upgraded.faults(msgspec.msgpack.encode(snapshot))
    assert "totals" in {fault.check for fault in faults}
    assert any("not what was kept" in fault.detail for fault in faults)
    assert any("cannot be read" in fault.detail for fault in upgraded.faults(b"\x00"))


@pytest.mark.parametrize(("behind", "rows"), [(0, 1), (1, 0)])
def test_K4_an_account_that_has_moved_on_since_its_snapshot_journals_nothing(
    upgraded: Upgraded, behind: int, rows: int
) -> None:
    snapshot = decode_snapshot(upgraded.snapshot)
    taken = SnapshotTaken("/s", "again", upgraded.ledger.clock, snapshot.version - behind, b"")
    replay = Replay(upgraded.ledger.programs, 1, "m1", snapshot)
    fold = replay.fold([Arrival(b"again", taken, snapshot.now)])
    assert len(fold.rows) == rows
    assert replay.account.version == snapshot.version + rows
