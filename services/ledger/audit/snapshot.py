"""All that is stored of an account at a version, kept so that its history can be folded from there on (K4). Pure.

A release may book the same inputs otherwise than the one before it, so what an older release has booked cannot be
folded again. It is proved by its hashes, entries and sums, which the snapshot must agree with; what came after the
snapshot is folded upon it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from services.kit.calendar import NOT_YET, Micros
from services.ledger.domain.state.account import Account, Details
from services.ledger.domain.state.lots import LotRow

OrderRow = tuple[Micros, Micros, Micros, Micros, bytes]
"""(paid_at, due, success_from, success_until, state), 0 = never."""


class Projections(NamedTuple):
    """What is stored of an account besides its row, its journal and its entries."""

    lots: Sequence[LotRow]
    orders: Mapping[str, OrderRow]
    lines: Mapping[tuple[str, int], bytes]
    facts: Mapping[str, bytes]


Rows = Iterable[Any]
"""Rows of a table, values by column."""


def projections(lots: Rows, orders: Rows, lines: Rows, facts: Rows) -> Projections:
    """The projections of one account, of the rows of its tables, which begin with the account."""
    return Projections(
        lots=[LotRow(*tuple(row)[1:]) for row in lots],
        orders={
            ref: (paid_at or NOT_YET, due or NOT_YET, success_from or NOT_YET, success_until or NOT_YET, state)
            for _, ref, paid_at, due, success_from, success_until, state in orders
        },
        lines={(ref, lines_version): state for _, ref, lines_version, state in lines},
        facts={key: value for _, key, value in facts},
    )


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """An account at a version. Instants are microseconds, days ordinals; the details, orders, lines and facts are bytes
    as they were stored. Fields are only ever appended."""

    version: int
    head: bytes
    now: Micros
    next_due: Micros | None
    pending: int
    available: int
    held: int
    debt: int
    redeemed: int
    expired: int
    written_off: int
    in_transit: int
    details: bytes
    lots: list[LotRow]
    orders: list[tuple[str, OrderRow]]
    lines: list[tuple[str, int, bytes]]
    facts: list[tuple[str, bytes]]

    def account(self, number: int, member_id: str) -> Account:
        """The account's row as it was; the fold may change it."""
        details = _decode_details(self.details) if self.details else Details()
        return Account(number, member_id, details=details, **{name: getattr(self, name) for name in _COLUMNS})


_COLUMNS = (
    "version", "head", "now", "next_due", "pending", "available", "held", "debt", "redeemed", "expired", "written_off",
    "in_transit",
)  # fmt: skip
_decode_details = msgspec.msgpack.Decoder(Details).decode
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Snapshot)


def encode_snapshot(account: Any, stored: Projections) -> bytes:
    """The snapshot of an account: its row by the names of its columns, and its projections."""
    snapshot = Snapshot(
        **{name: account[name] for name in _COLUMNS},
        details=account["details"],
        lots=list(stored.lots),
        orders=list(stored.orders.items()),
        lines=[(*key, lines) for key, lines in stored.lines.items()],
        facts=list(stored.facts.items()),
    )
    return _encoder.encode(snapshot)


def decode_snapshot(raw: bytes) -> Snapshot:
    """What `encode_snapshot` wrote. Raises msgspec.DecodeError."""
    return _decoder.decode(raw)


def digest_of_snapshot(raw: bytes) -> bytes:
    """What the journal keeps of a snapshot."""
    return sha256(raw).digest()
