"""The replay: what the fold makes of one member's journalled inputs, in the form of the stored rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.kit.calendar import END_OF_TIME, NOT_YET, Day
from services.ledger.audit.snapshot import OrderRow, Snapshot
from services.ledger.domain.batch import Arrival, Fold, fold_member
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import Account, Details
from services.ledger.domain.state.entries import LotKey
from services.ledger.domain.state.loaded import Loaded, Success
from services.ledger.domain.state.lots import AVAILABLE, LotRow, lot_row
from services.ledger.domain.state.orders import encode_lines, encode_order

_encoder = msgspec.msgpack.Encoder()
_decode_details = msgspec.msgpack.Decoder(Details).decode


def encode_details(details: Details) -> bytes:
    """An account's details as stored."""
    return _encoder.encode(details)


class _Complete(dict[Any, Any]):
    """All that there is: a key that is not in it is known not to exist."""

    def __missing__(self, key: object) -> None:
        return None


class _Families(dict[Day, list[LotRow]]):
    """The lots of each day with their grace lots, looked up among all of a member's lots."""

    def __init__(self, lots: list[LotRow]) -> None:
        super().__init__()
        self._lots = lots

    def get(self, key: Day, default: object = None) -> list[LotRow]:
        """The lot of a day and its grace lots."""
        return [lot for lot in self._lots if (lot.day == key and not lot.parent) or lot.parent == key]


class Replay:
    """A member's rows in memory. Each `fold` is a batch, and any cut into batches gives the same rows (O7)."""

    def __init__(
        self, programs: ProgramVersions, number: int, member_id: str, snapshot: Snapshot | None = None
    ) -> None:
        self._programs = programs
        self.account = Account(number, member_id)
        self.orders: dict[str, OrderRow] = {}
        self.states: dict[str, bytes] = _Complete()
        self.lines: dict[tuple[str, int], bytes] = {}
        self.facts: dict[str, bytes] = _Complete()
        self.lots: dict[LotKey, list[int]] = {}
        if snapshot is not None:
            self.account = snapshot.account(number, member_id)
            self.orders.update(snapshot.orders)
            self.states.update({ref: row[-1] for ref, row in snapshot.orders})
            self.lines.update({(ref, lines_version): lines for ref, lines_version, lines in snapshot.lines})
            self.facts.update(snapshot.facts)
            self.lots.update({lot.lot: lot.columns() for lot in snapshot.lots})

    def fold(self, arrivals: Sequence[Arrival]) -> Fold:
        """Fold the next inputs of the member, and keep the changed rows."""
        fold = fold_member(self._programs, self._account, self._loaded(), arrivals, bounded=False)
        member = fold.member
        self.account = member.account
        for ref in member.touched:
            order = member.orders[ref]
            state = encode_order(order)
            self.orders[ref] = (order.paid_at, order.due, order.success_from, order.success_until, state)
            self.states[ref] = state
        for key, lines in member.new_lines.items():
            self.lines[key] = encode_lines(lines)
        self.facts.update({key: value for key, value in member.facts.items() if value is not None})
        for lot, changes in member.lots.changes.items():
            before = self.lots.get(lot, [0] * len(changes))
            self.lots[lot] = [old + change for old, change in zip(before, changes, strict=True)]
        return fold

    def details(self) -> bytes:
        """The account's details as stored."""
        return encode_details(self.account.details)

    def _account(self) -> Account:
        """A copy that a fold may change."""
        return msgspec.structs.replace(self.account, details=_decode_details(self.details()))

    def _loaded(self) -> Loaded:
        """Everything that the store could read of this member."""
        lots = [lot_row(key, columns) for key, columns in self.lots.items()]
        return Loaded(
            orders=self.states,  # type: ignore[arg-type]
            lines=self.lines,
            facts=self.facts,  # type: ignore[arg-type]
            spendable=[lot for lot in lots if self.lots[lot.lot][AVAILABLE] > 0],
            families=_Families(lots),
            due_until=END_OF_TIME,
            due=[(ref, row[1]) for ref, row in self.orders.items() if row[1]],
            successes=[Success(ref, row[0], row[2], row[3]) for ref, row in self.orders.items() if row[2]],
            paid_after=NOT_YET,
            paid_later=[(ref, row[0]) for ref, row in self.orders.items() if row[0]],
        )
