"""Balances of members, and the snapshots that all reads are made in.

No read takes a lock. What is due is computed in memory, by the same fold that will book it, so that reads agree with
spends whether or not it was booked yet (E1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from services.kit.calendar import NEVER, Day, Micros
from services.kit.executor import DatabaseUnavailable
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, is_unavailable
from services.kit.program import NoProgram
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.state.account import Account, Totals
from services.ledger.domain.state.entries import last_day
from services.ledger.programs import KnownPrograms
from services.ledger.reads.batch_loader import BatchLoader
from services.ledger.reads.history import milestones_around, version_at
from services.ledger.reads.sql import SQL
from services.ledger.reads.view import view_of


class Balance(Totals, msgspec.Struct):
    """A member's points. `expiring` are the available points by their last day, the first to expire first."""

    version: int
    head: bytes
    pending: int
    available: int
    held: int
    debt: int
    redeemed: int
    expired: int
    expiring: Sequence[tuple[Day, int]]
    written_off: int = 0
    in_transit: int = 0
    """Points sent to other members less points received from them."""


class Reads:
    """The reading side of the ledger on a pool whose connections have the store's codecs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.programs = KnownPrograms()
        self._balances = BatchLoader(self._read_balances)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection on which all statements see one state of the ledger. Raises DatabaseUnavailable."""
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except Exception as error:
            if is_unavailable(error):
                raise DatabaseUnavailable(repr(error)) from error
            raise

    async def newest_program(self) -> Program | None:
        """The newest program version; without the database the newest that was read before. None if there is none."""
        try:
            async with self.snapshot() as tx:
                programs = await self.programs.read(tx)
        except NoProgram:
            return None
        except DatabaseUnavailable:
            known = self.programs.current(0)
            return None if known is None else known.by_number[known.newest]
        return programs.by_number[programs.newest]

    async def balance(self, shard: Shard, member_id: str, now: Micros) -> tuple[Balance, ProgramVersions] | None:
        """The points of a member at `now`, and the programs in force; None if nothing is known of the member."""
        row = await self._balances.read((shard, member_id))
        if row is None:
            return None
        programs = self.programs.current(row["program"])
        due = row["next_due"]
        if programs is None or (due is not None and due <= now) or _is_empty(row):
            return await self._settled_balance(shard, member_id, now)
        return (
            Balance(
                row["version"], row["head"], row["pending"], row["available"], row["held"], row["debt"],
                row["redeemed"], row["expired"], _expiring(row["days"], row["points"]), row["written_off"],
                row["in_transit"],
            ),
            programs,
        )  # fmt: skip

    async def _read_balances(self, keys: Sequence[tuple[int, str]]) -> Sequence[asyncpg.Record | None]:
        try:
            rows = await self._pool.fetch(SQL.balances, [shard for shard, _ in keys], [member for _, member in keys])
        except Exception as error:
            if is_unavailable(error):
                raise DatabaseUnavailable(repr(error)) from error
            raise
        found: list[asyncpg.Record | None] = [None] * len(keys)
        for row in rows:
            found[row["n"] - 1] = row
        return found

    async def _settled_balance(
        self, shard: Shard, member_id: str, now: Micros
    ) -> tuple[Balance, ProgramVersions] | None:
        async with self.snapshot() as tx:
            programs = await self.programs.read(tx)
            view = await view_of(tx, programs, shard, member_id, now)
        if view is None:
            return None
        account = view.account
        lots = [(view.member.lots.last_day(lot.day), lot.available) for lot in view.lots if lot.available > 0]
        open_lots = [(day, points) for day, points in lots if day != NEVER]
        balance = Balance(
            account.version, account.head, account.pending, account.available, account.held, account.debt,
            account.redeemed, account.expired, _sum_by_day(open_lots), account.written_off, account.in_transit,
        )  # fmt: skip
        return balance, programs


def _is_empty(row: asyncpg.Record) -> bool:
    """Whether no point was ever booked, as on the account of somebody who is only named as a referrer (F3)."""
    totals = ("pending", "available", "held", "debt", "redeemed", "expired", "written_off", "in_transit")
    return not any(row[name] for name in totals)


def _expiring(days: list[Day] | None, points: list[int]) -> Sequence[tuple[Day, int]]:
    """The points by day as the query has them; most members have one lot."""
    if days is None:
        return ()
    return ((days[0], points[0]),) if len(days) == 1 else _sum_by_day(zip(days, points, strict=True))


def _sum_by_day(lots: Sequence[tuple[Day, int]] | zip[tuple[Day, int]]) -> list[tuple[Day, int]]:
    """Points by day, the first day first."""
    sums: dict[Day, int] = {}
    for day, points in lots:
        sums[day] = sums.get(day, 0) + points
    return sorted(sums.items())


async def balance_booked_until(tx: Connection, shard: Shard, account: Account, instant: Micros) -> Balance:
    """The balance by the entries booked up to an instant; what was due by then and booked later is not in it.

    Lots that slide (E3) have the last days of now.
    """
    around = await milestones_around(tx, shard, account.number, instant)
    sums = around.sums
    sums.add(await tx.fetch(SQL.sums_until, shard, account.number, around.version, around.booked_at, instant))
    at = sums.at
    lots: dict[Day, int] = {}
    for lot_day, points in sums.lots.items():
        day = last_day(lot_day, account.details.sliding_last_days)
        if day not in (0, NEVER):
            lots[day] = lots.get(day, 0) + points
    return Balance(
        version=await version_at(tx, shard, account.number, instant, around),
        head=b"",
        pending=at.get("pending", 0),
        available=at.get("available", 0),
        held=at.get("held", 0),
        debt=-at.get("debt", 0),
        redeemed=at.get("redeemed", 0),
        expired=at.get("expired", 0),
        expiring=sorted((day, points) for day, points in lots.items() if points > 0),
        written_off=at.get("written_off", 0),
        in_transit=at.get("in_transit", 0),
    )
