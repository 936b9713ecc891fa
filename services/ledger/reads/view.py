"""A member as if all that is due were booked: the fold runs in memory, and its result is only read (E1)."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg

from services.kit.calendar import Micros
from services.kit.kafka import Shard
from services.kit.postgres import Connection
from services.ledger import store
from services.ledger.domain.decide import decide
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.inputs import DueTimer, Line
from services.ledger.domain.state.loaded import Loaded, Missing
from services.ledger.domain.state.lots import LotRow
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order
from services.ledger.reads.sql import SQL


class View(NamedTuple):
    """A member at an instant, with all that was due by then. `account.version` is that of the last booking."""

    account: Account
    member: Member
    loaded: Loaded
    lots: list[LotRow]

    def as_stored(self, ref: str, state: bytes) -> Order:
        """The order of a row that was read beside the view, with what of it was due."""
        self.loaded.orders.setdefault(ref, state)
        return self.member.order(ref)


async def view_of(tx: Connection, programs: ProgramVersions, shard: Shard, member_id: str, now: Micros) -> View | None:
    """A member with all that is due by `now`; None if nothing is known of the member."""
    row = await tx.fetchrow(SQL.account, shard, member_id)
    if row is None:
        return None
    loaded = Loaded()
    member = await _settle(tx, programs, shard, row, loaded, now)
    if member.account.details.stranger:
        return None
    lots = {(lot["day"], lot["parent"]): LotRow(*lot) for lot in await tx.fetch(SQL.lots, shard, member.account.number)}
    for key, changes in member.lots.changes.items():
        before = lots.get(key, LotRow(*key, 0, 0, 0, 0, 0))
        lots[key] = LotRow(
            *key,
            before.pending + changes[0],
            before.available + changes[1],
            before.held + changes[2],
            before.expired + changes[3],
            before.forgiven + changes[4],
        )
    return View(member.account, member, loaded, [lots[key] for key in sorted(lots)])


async def _settle(
    tx: Connection, programs: ProgramVersions, shard: Shard, row: asyncpg.Record, loaded: Loaded, now: Micros
) -> Member:
    """The member after the fold of a due timer; the account keeps the version and head of its last booking."""
    number: int = row["account"]
    timer = DueTimer(source="", id="", at=now)
    while True:
        member = Member(store.account_of(row), loaded)
        if row["next_due"] is None or row["next_due"] > now:
            return member
        try:
            decide(programs, member, timer, now)
        except Missing as question:
            await store.load(tx, shard, [(number, loaded, question.needs)])
        else:
            member.account.version = row["version"]
            return member


async def order_in(tx: Connection, shard: Shard, view: View, ref: str) -> tuple[Order, tuple[Line, ...]] | None:
    """An order as a view has it, with the lines that count; None if nothing is known of it."""
    member, number = view.member, view.account.number
    while True:
        try:
            order = member.order(ref)
            lines = member.lines(ref, order.lines_version) if order.lines_version else ()
        except Missing as question:
            await store.load(tx, shard, [(number, view.loaded, question.needs)])
        else:
            return None if order == Order() else (order, lines)


async def account_of(tx: Connection, shard: Shard, member_id: str) -> Account | None:
    """The account of a member as last booked; None if nothing is known of the member.

    Of a stranger, whom others only name as their referrer (F3), nothing is.
    """
    row = await tx.fetchrow(SQL.account, shard, member_id)
    account = None if row is None else store.account_of(row)
    return None if account is None or account.details.stranger else account
