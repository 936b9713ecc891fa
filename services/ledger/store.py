"""What the ledger reads in PostgreSQL to book a batch: one shard, one transaction, arrays in and out.

The lock doctrine. The account row is the only lock of a member. A batch first inserts the missing rows (sorted, so
that two batches wait for each other in one order only), then locks its accounts in account order, and reads what the
lock protects in later statements only. Without the first step, two sessions would each find no row of a new member. In
any other order, two batches could deadlock. An order that the locking statement itself read could be older than the
lock. Nothing else is locked for long: only the holder of the account writes its lots, orders and facts.

Few commands are read without a lock (`accounts_for_commands`), and what follows is written only if no account has been
changed since then: whatever changes a member raises its account's version.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg
import msgspec
import orjson

from services.kit.calendar import NEVER, Day, Micros
from services.kit.postgres import Connection, Queries
from services.kit.program import NoProgram
from services.ledger.domain.batch import Arrival
from services.ledger.domain.program.program import Program, ProgramVersions, compile_program
from services.ledger.domain.state.account import Account, Details
from services.ledger.domain.state.loaded import Loaded, Needs, Success
from services.ledger.domain.state.lots import LotRow

SQL: Final = Queries.load(
    "services.ledger",
    "sql/ledger.sql",
    require=(
        "newest_program", "programs", "open_accounts", "lock_accounts", "journalled", "orders", "order_lines",
        "facts", "spendable_lots", "lot_families", "orders_due", "next_orders_due", "successes",
        "orders_paid_after", "answers", "forget_answers", "accounts_for_commands", "write", "due_members",
    ),
)  # fmt: skip

ANSWERS_KEPT: Final[Micros] = 30 * 86_400_000_000
"""How long the same request gets the same answer."""
_FORGOTTEN: Final = 1_000

_PG_EPOCH_MICROS: Final = 946_684_800_000_000
_PG_EPOCH_DAY: Final = 730_120
_INFINITY_DAY: Final = 2**31 - 1
_MINUS_INFINITY_DAY: Final = -(2**31)
_decode_details = msgspec.msgpack.Decoder(Details).decode


class KnownPrograms:
    """The program versions as this process last read them."""

    def __init__(self) -> None:
        self._programs: ProgramVersions | None = None

    @property
    def newest(self) -> Program:
        """The version last published, as far as is known; its currency is that of all. Raises NoProgram."""
        if self._programs is None:
            raise NoProgram
        return self._programs.versions[-1]

    def need(self, instant: Micros) -> frozenset[str]:
        """The profile fields into which the version in force at a business time looks, as far as is known."""
        return self._programs.at(instant).needs if self._programs is not None else frozenset()

    def current(self, newest: int | None) -> ProgramVersions | None:
        """What is known, if it goes as far as version number `newest`."""
        known = self._programs
        return known if known is not None and newest is not None and known.newest >= newest else None

    async def read(self, connection: Connection) -> ProgramVersions:
        """All versions, the newest included. Raises NoProgram."""
        return await self.up_to(await connection.fetchval(SQL["newest_program"]), connection)

    async def up_to(self, newest: int | None, connection: Connection) -> ProgramVersions:
        """All versions, number `newest` included; they are read if it is not known. Raises NoProgram."""
        known = self.current(newest)
        if known is None:
            if newest is None:
                raise NoProgram
            rows = await connection.fetch(SQL["programs"])
            known = self._programs = ProgramVersions(
                compile_program(row["number"], orjson.loads(row["document"])) for row in rows
            )
        return known


async def register_codecs(connection: asyncpg.Connection[Any]) -> None:
    """Lets a connection speak instants as microseconds since 1970 and days as ordinals, as the domain does.

    `infinity` is `NEVER`, and `-infinity` is day 0 (a lot without a parent).
    """
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_encode_instant, decoder=_decode_instant, format="tuple"
    )
    await connection.set_type_codec(
        "date", schema="pg_catalog", encoder=_encode_day, decoder=_decode_day, format="tuple"
    )


async def prepare(connection: asyncpg.Connection[Any]) -> None:
    """Makes a new connection of the pool ready: the codecs, and plans by key.

    Every statement of the write path looks rows up by key, whatever the values: one plan serves them all. A plan made
    while a table was small would read all of it, and be kept.
    """
    await register_codecs(connection)
    await connection.execute(
        "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off; "
        "SET plan_cache_mode = force_generic_plan"
    )


def _encode_instant(instant: Micros) -> tuple[int]:
    return (instant - _PG_EPOCH_MICROS,)


def _decode_instant(value: tuple[int]) -> Micros:
    return value[0] + _PG_EPOCH_MICROS


def _encode_day(day: Day) -> tuple[int]:
    if day == NEVER:
        return (_INFINITY_DAY,)
    return (day - _PG_EPOCH_DAY if day else _MINUS_INFINITY_DAY,)


def _decode_day(value: tuple[int]) -> Day:
    days = value[0]
    if days == _INFINITY_DAY:
        return NEVER
    return 0 if days == _MINUS_INFINITY_DAY else days + _PG_EPOCH_DAY


def account_of(row: asyncpg.Record) -> Account:
    """A new `Account` of a row that `lock_accounts` answered; the fold may change it."""
    return Account(
        number=row["account"],
        member_id=row["member_id"],
        version=row["version"],
        head=row["head"],
        now=row["now"],
        next_due=row["next_due"],
        pending=row["pending"],
        available=row["available"],
        held=row["held"],
        debt=row["debt"],
        redeemed=row["redeemed"],
        expired=row["expired"],
        written_off=row["written_off"],
        in_transit=row["in_transit"],
        details=_decode_details(row["details"]) if row["details"] else Details(),
    )


async def lock_accounts(tx: Connection, shard: int, member_ids: Sequence[str]) -> dict[str, asyncpg.Record]:
    """Locks the accounts of these members, opening those that are missing; the rows by member id."""
    rows = await tx.fetch(SQL["lock_accounts"], shard, member_ids)
    if len(rows) < len(member_ids):
        known = {row["member_id"] for row in rows}
        await tx.execute(SQL["open_accounts"], shard, [member for member in member_ids if member not in known])
        rows = await tx.fetch(SQL["lock_accounts"], shard, member_ids)
    return {row["member_id"]: row for row in rows}


async def journalled(tx: Connection, shard: int, arrivals: Iterable[Arrival]) -> dict[tuple[bytes, Micros], bytes]:
    """The inputs, as journalled, of those arrivals that have been booked already."""
    asked = list(arrivals)
    times = [arrival.input_.at for arrival in asked]
    digests = [arrival.digest for arrival in asked]
    rows = await tx.fetch(SQL["journalled"], shard, digests, min(times), max(times))
    return {(row["digest"], row["at"]): row["input"] for row in rows}


async def answers(tx: Connection, shard: int, digests: Sequence[bytes], now: Micros) -> dict[bytes, asyncpg.Record]:
    """What these commands were answered before, by digest; an answer is kept for `ANSWERS_KEPT`."""
    rows = await tx.fetch(SQL["answers"], shard, digests)
    return {row["digest"]: row for row in rows if row["at"] > now - ANSWERS_KEPT}


async def accounts_for_commands(
    connection: Connection, shard: int, asked: Sequence[tuple[str, bytes, str | None]]
) -> dict[str, asyncpg.Record]:
    """What commands of different members surely look at, each asked as (member id, digest, key of a fact or None); one
    row for each member that has an account.

    Nothing is locked: only `write_if_unchanged` may write what follows from these rows.
    """
    columns = (list(column) for column in zip(*asked, strict=True))
    rows = await connection.fetch(SQL["accounts_for_commands"], shard, *columns)
    return {row["member_id"]: row for row in rows}


async def forget_answers(connection: Connection, shards: int, now: Micros) -> None:
    """Deletes the answers that are kept no longer, a bounded number in each statement."""
    for shard in range(shards):
        while await connection.execute(SQL["forget_answers"], shard, now - ANSWERS_KEPT, _FORGOTTEN) == (
            f"DELETE {_FORGOTTEN}"
        ):
            pass


async def load(tx: Connection, shard: int, needs: Sequence[tuple[int, Loaded, Needs]]) -> None:
    """Reads what the accounts of a batch need, one statement a kind of need, into what was read of them before."""
    by_account = {account: loaded for account, loaded, _ in needs}
    await _load_orders(tx, shard, needs, by_account)
    await _load_facts(tx, shard, needs, by_account)
    await _load_lots(tx, shard, needs, by_account)
    await _load_due(tx, shard, needs, by_account)
    await _load_histories(tx, shard, needs, by_account)


_Needs = Sequence[tuple[int, Loaded, Needs]]
_ByAccount = dict[int, Loaded]


async def _load_orders(tx: Connection, shard: int, needs: _Needs, by_account: _ByAccount) -> None:
    if asked := [(account, ref) for account, _, need in needs for ref in need.orders]:
        for account, ref in asked:
            by_account[account].orders[ref] = None
        for row in await tx.fetch(SQL["orders"], shard, [key[0] for key in asked], [key[1] for key in asked]):
            by_account[row[0]].orders[row[1]] = row[2]
    if lines := [(account, ref, lines_version) for account, _, need in needs for ref, lines_version in need.lines]:
        columns = [list(column) for column in zip(*lines, strict=True)]
        for row in await tx.fetch(SQL["order_lines"], shard, *columns):
            by_account[row[0]].lines[row[1], row[2]] = row[3]


async def _load_facts(tx: Connection, shard: int, needs: _Needs, by_account: _ByAccount) -> None:
    if asked := [(account, key) for account, _, need in needs for key in need.facts]:
        for account, key in asked:
            by_account[account].facts[key] = None
        for row in await tx.fetch(SQL["facts"], shard, [key[0] for key in asked], [key[1] for key in asked]):
            by_account[row[0]].facts[row[1]] = row[2]


async def _load_lots(tx: Connection, shard: int, needs: _Needs, by_account: _ByAccount) -> None:
    if spendable := [account for account, _, need in needs if need.spendable]:
        for account in spendable:
            by_account[account].spendable = []
        for row in await tx.fetch(SQL["spendable_lots"], shard, spendable):
            lots = by_account[row["account"]].spendable
            assert lots is not None
            lots.append(lot_of(row))
    if families := [(account, day) for account, _, need in needs for day in need.families]:
        for account, day in families:
            by_account[account].families[day] = []
        columns = [list(column) for column in zip(*families, strict=True)]
        for row in await tx.fetch(SQL["lot_families"], shard, *columns):
            by_account[row["account"]].families[row["family"]].append(lot_of(row))


def lot_of(row: asyncpg.Record) -> LotRow:
    """A row of `lot` as the fold knows it."""
    return LotRow(
        row["day"], row["parent"], row["pending"], row["available"], row["held"], row["expired"], row["forgiven"]
    )


async def _load_due(tx: Connection, shard: int, needs: _Needs, by_account: _ByAccount) -> None:
    due = [(account, need.due_until) for account, _, need in needs if need.due_until is not None]
    if not due:
        return
    accounts, untils = [account for account, _ in due], [until for _, until in due]
    for account, until in due:
        loaded = by_account[account]
        loaded.due_until, loaded.due, loaded.due_later = until, [], None
    for row in await tx.fetch(SQL["orders_due"], shard, accounts, untils):
        by_account[row["account"]].due.append((row["ref"], row["due"]))
    for row in await tx.fetch(SQL["next_orders_due"], shard, accounts, untils):
        by_account[row["account"]].due_later = row["due"], row["ref"]


async def _load_histories(tx: Connection, shard: int, needs: _Needs, by_account: _ByAccount) -> None:
    if successes := [account for account, _, need in needs if need.successes]:
        for account in successes:
            by_account[account].successes = []
        for row in await tx.fetch(SQL["successes"], shard, successes):
            known = by_account[row["account"]].successes
            assert known is not None
            known.append(Success(row["ref"], row["paid_at"], row["success_from"], row["success_until"] or 0))
    paid = [(account, need.paid_after) for account, _, need in needs if need.paid_after is not None]
    if paid:
        for account, paid_after in paid:
            loaded = by_account[account]
            loaded.paid_after, loaded.paid_later = paid_after, []
        columns = [list(column) for column in zip(*paid, strict=True)]
        for row in await tx.fetch(SQL["orders_paid_after"], shard, *columns):
            by_account[row["account"]].paid_later.append((row["ref"], row["paid_at"]))
