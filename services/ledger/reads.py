"""What the ledger reads without writing: balances, entries, lots, orders, and what became of an input.

Nothing here takes a lock. What falls due is computed in memory, by the same fold that will book it, so reads agree
with spends whether or not anything has been booked since (E1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import asyncpg
import msgspec

from services.kit.calendar import NEVER, Day, Micros
from services.kit.executor import DatabaseAway
from services.kit.postgres import Connection, Pool, Queries, is_away
from services.kit.program import NoProgram
from services.ledger import store
from services.ledger.coalesced import Coalesced
from services.ledger.domain.account import Account
from services.ledger.domain.chain import Record, decode_record, digest_of
from services.ledger.domain.decide import decide
from services.ledger.domain.entries import KINDS, AccountName, EntryKind, last_day
from services.ledger.domain.inputs import DueTimer, Line
from services.ledger.domain.member import Loaded, LotRow, Member, Missing
from services.ledger.domain.orders import Order
from services.ledger.domain.program import Program, Programs

SQL: Final = Queries.load(
    "services.ledger",
    "sql/reads.sql",
    require=(
        "balances", "account", "lots", "sums_until", "version_at", "entries",
        "entries_of_versions", "journal_row", "journal_of_ref", "taken_from_lot", "given_by_id", "facts_of", "tellings",
    ),
)  # fmt: skip

FOREVER: Final[Micros] = 253_402_300_799_000_000
"""The last second of the year 9999: later than anything booked."""
NEWEST: Final = (2**63 - 1, 2**15 - 1)
"""The place above every entry."""
TAKEN_SHOWN: Final = 100
"""How much of what later took from a lot an explanation lists."""


class Balance(msgspec.Struct, frozen=True):
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
    """Sent to other members less received from them."""

    @property
    def earned(self) -> int:
        """Lifetime points earned, net of clawbacks, without pending ones."""
        kept = self.available + self.held - self.debt
        return kept + self.redeemed + self.expired + self.written_off + self.in_transit


class EntryRow(NamedTuple):
    """An entry as stored: `points` of a lot moved from `debit` to `credit`."""

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
        """The entry's name to the outside."""
        return KINDS[self.debit, self.credit]


class JournalRow(NamedTuple):
    """What was journalled of one input, without its entries."""

    digest: bytes
    at: Micros
    version: int
    now: Micros
    type: str
    outcome: str
    given: bytes
    record: bytes


class View(NamedTuple):
    """A member at an instant, with what was due by then. `account.version` is that of the last booking."""

    account: Account
    member: Member
    loaded: Loaded
    lots: list[LotRow]


class Reads:
    """The reading side of the ledger on a pool whose connections have the store's codecs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.programs = store.KnownPrograms()
        self._balances = Coalesced(self._read_balances)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """A connection on which all statements see one state of the ledger. Raises DatabaseAway."""
        try:
            async with (
                self._pool.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except Exception as error:
            if is_away(error):
                raise DatabaseAway(repr(error)) from error
            raise

    async def newest_program(self) -> Program | None:
        """The newest version that can be known now, also while the database is away; None if there is none yet."""
        try:
            async with self.snapshot() as tx:
                programs = await self.programs.read(tx)
        except NoProgram:
            return None
        except DatabaseAway:
            known = self.programs.current(0)
            return None if known is None else known.by_number[known.newest]
        return programs.by_number[programs.newest]

    async def balance(self, shard: int, member_id: str, now: Micros) -> tuple[Balance, Programs] | None:
        """The points of a member at `now`, and the programs in force; None if nothing is known of the member."""
        row = await self._balances.read((shard, member_id))
        if row is None:
            return None
        programs = self.programs.current(row["program"])
        due = row["next_due"]
        if programs is None or (due is not None and due <= now):
            return await self._settled_balance(shard, member_id, now)
        return (
            Balance(
                row["version"], row["head"], row["pending"], row["available"], row["held"], row["debt"],
                row["redeemed"], row["expired"], _by_day(row["days"], row["points"]), row["written_off"],
                row["in_transit"],
            ),
            programs,
        )  # fmt: skip

    async def _read_balances(self, keys: Sequence[tuple[int, str]]) -> Sequence[asyncpg.Record | None]:
        try:
            rows = await self._pool.fetch(SQL.balances, [shard for shard, _ in keys], [member for _, member in keys])
        except Exception as error:
            if is_away(error):
                raise DatabaseAway(repr(error)) from error
            raise
        found: list[asyncpg.Record | None] = [None] * len(keys)
        for row in rows:
            found[row["n"] - 1] = row
        return found

    async def _settled_balance(self, shard: int, member_id: str, now: Micros) -> tuple[Balance, Programs] | None:
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
            account.redeemed, account.expired, _sums(open_lots), account.written_off, account.in_transit,
        )  # fmt: skip
        return balance, programs


def _by_day(days: list[Day] | None, points: list[int]) -> Sequence[tuple[Day, int]]:
    if days is None:
        return ()
    return ((days[0], points[0]),) if len(days) == 1 else _sums(zip(days, points, strict=True))


def _sums(lots: Sequence[tuple[Day, int]] | zip[tuple[Day, int]]) -> list[tuple[Day, int]]:
    sums: dict[Day, int] = {}
    for day, points in lots:
        sums[day] = sums.get(day, 0) + points
    return sorted(sums.items())


async def view_of(tx: Connection, programs: Programs, shard: int, member_id: str, now: Micros) -> View | None:
    """A member with all that is due by `now` done, in memory only; None if nothing is known of the member."""
    row = await tx.fetchrow(SQL.account, shard, member_id)
    if row is None:
        return None
    loaded = Loaded()
    member = await _settle(tx, programs, shard, row, loaded, now)
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
    tx: Connection, programs: Programs, shard: int, row: asyncpg.Record, loaded: Loaded, now: Micros
) -> Member:
    """The fold of a timer that is thrown away: the account keeps the version and head of its last booking."""
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


async def order_in(tx: Connection, shard: int, view: View, ref: str) -> tuple[Order, tuple[Line, ...]] | None:
    """An order as a view has it, with the lines that count; None if nothing is known of it."""
    member, number = view.member, view.account.number
    while True:
        try:
            order = member.order(ref)
            lines = member.lines(ref, order.telling) if order.telling else ()
        except Missing as question:
            await store.load(tx, shard, [(number, view.loaded, question.needs)])
        else:
            return None if order == Order() else (order, lines)


async def account_of(tx: Connection, shard: int, member_id: str) -> Account | None:
    """The account of a member as last booked; None if nothing is known of the member."""
    row = await tx.fetchrow(SQL.account, shard, member_id)
    return None if row is None else store.account_of(row)


async def balance_booked_until(tx: Connection, shard: int, account: Account, instant: Micros) -> Balance:
    """The balance as the entries booked up to an instant add up; nothing that fell due later is in it.

    What slides (E3) has the last day that it has now.
    """
    at: dict[str, int] = {}
    lots: dict[Day, int] = {}
    for debit, credit, lot_day, points in await tx.fetch(SQL.sums_until, shard, account.number, instant):
        at[debit] = at.get(debit, 0) - points
        at[credit] = at.get(credit, 0) + points
        day = last_day(lot_day, account.details.slid)
        if day not in (0, NEVER):
            moved = (credit == "available") - (debit == "available")
            lots[day] = lots.get(day, 0) + moved * points
    version = await tx.fetchval(SQL.version_at, shard, account.number, instant)
    return Balance(
        version=version or 0,
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


async def entries(
    tx: Connection,
    shard: int,
    account: int,
    *,
    before: tuple[int, int] = NEWEST,
    kind: EntryKind | None = None,
    booked_from: Micros = 0,
    booked_until: Micros = FOREVER,
    limit: int,
) -> list[EntryRow]:
    """An account's entries, the newest first, of one kind or all, booked in [`booked_from`, `booked_until`)."""
    moves = [move for move, name in KINDS.items() if kind is None or name == kind]
    rows = await tx.fetch(
        SQL.entries,
        shard,
        account,
        *before,
        booked_from,
        booked_until,
        [debit for debit, _ in moves],
        [credit for _, credit in moves],
        limit,
    )
    return [EntryRow(*row) for row in rows]


async def entries_of(tx: Connection, shard: int, account: int, versions: Sequence[int]) -> list[EntryRow]:
    """The entries of some versions, in order."""
    return [EntryRow(*row) for row in await tx.fetch(SQL.entries_of_versions, shard, account, versions)]


async def journal_row(tx: Connection, shard: int, account: int, version: int) -> JournalRow | None:
    """The journal row of a version."""
    row = await tx.fetchrow(SQL.journal_row, shard, account, version)
    return None if row is None else JournalRow(*row)


async def records_about(tx: Connection, shard: int, account: int, entry: EntryRow) -> list[Record]:
    """The outcomes up to an entry's that moved points of its rule for what it is about, the latest first."""
    rows = await tx.fetch(SQL.journal_of_ref, shard, account, entry.ref, entry.rule, entry.version)
    return [decode_record(row["record"]) for row in rows]


async def taken_later(tx: Connection, shard: int, account: int, entry: EntryRow) -> list[EntryRow]:
    """What left an entry's lot after it: spent, clawed back, expired; at most `TAKEN_SHOWN`."""
    rows = await tx.fetch(
        SQL.taken_from_lot, shard, account, entry.version, entry.line, entry.lot_day, entry.lot_parent, TAKEN_SHOWN
    )
    return [EntryRow(*row) for row in rows]


async def given_by_id(pool: Pool, shard: int, key: str) -> tuple[str, bytes] | None:
    """(member, state) of a hold, redemption or transfer by its key; None if there is none. Raises DatabaseAway."""
    try:
        row = await pool.fetchrow(SQL.given_by_id, shard, key)
    except Exception as error:
        if is_away(error):
            raise DatabaseAway(repr(error)) from error
        raise
    return None if row is None else (row["member_id"], row["value"])


async def facts_of(tx: Connection, asked: Sequence[tuple[int, str, str]]) -> list[bytes | None]:
    """The facts of (shard, member id, key), in order; None for what is not known."""
    found: list[bytes | None] = [None] * len(asked)
    if asked:
        for row in await tx.fetch(SQL.facts_of, *(list(column) for column in zip(*asked, strict=True))):
            found[row["n"] - 1] = row["value"]
    return found


async def tellings(
    tx: Connection, shard: int, member_id: str, source: str, event_id: str
) -> list[tuple[int, JournalRow]]:
    """What was journalled of an event of a member, with its account; one row for each time it was told with."""
    rows = await tx.fetch(SQL.tellings, shard, digest_of(member_id, source, event_id))
    return [(row["account"], JournalRow(*tuple(row)[1:])) for row in rows]
