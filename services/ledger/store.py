"""Reads from PostgreSQL what the ledger needs to book a batch: one shard, one transaction, arrays in and out.

The lock doctrine. The account row is the only lock of a member. A batch first inserts the missing rows (sorted, so
that two batches wait for each other in one order only), then locks its accounts in account order, and reads what the
lock protects in later statements only. Without the first step, two sessions would each find no row of a new member. In
any other order, two batches could deadlock. An order that the locking statement itself read could be older than the
lock. Nothing else is locked for long: only the holder of the account writes its lots, orders and facts.

When commands are few, their accounts are read without a lock (`accounts_for_commands`). What follows is written only if
no account has been changed since then. Whatever changes a member raises its account's version, which shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg
import msgspec

from services.kit.calendar import NOT_YET, Micros
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, Queries
from services.ledger.codecs import register_codecs
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import FORMAT
from services.ledger.domain.state.account import Account, Details
from services.ledger.domain.state.loaded import Loaded, Needs, Success
from services.ledger.domain.state.lots import LotRow

SQL: Final = Queries.load(
    "services.ledger",
    "sql/ledger.sql",
    require=(
        "newest_program", "programs", "open_accounts", "lock_accounts", "journalled", "orders", "order_lines",
        "facts", "spendable_lots", "lot_families", "orders_due", "next_orders_due", "successes",
        "orders_paid_after", "answers", "bind_key", "keep_refusal", "forget_answers", "accounts_for_commands", "write",
        "due_members",
    ),
)  # fmt: skip

ANSWERS_KEPT: Final = 30 * 86_400_000_000
"""How long a repeated request gets its first answer."""
_ANSWERS_PER_DELETE: Final = 1_000

_decode_details = msgspec.msgpack.Decoder(Details).decode


async def prepare(connection: asyncpg.Connection[Any]) -> None:
    """Prepares a new connection of the pool: registers the codecs, and lets plans look rows up by key alone.

    Every statement of the write path looks rows up by key, whatever the values, so one plan serves them all. Without
    these settings, a plan that was made while a table was small would read the whole table, and be kept.
    """
    await register_codecs(connection)
    await connection.execute(
        "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_bitmapscan = off; "
        "SET plan_cache_mode = force_generic_plan"
    )


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


async def lock_accounts(tx: Connection, shard: Shard, member_ids: Sequence[str]) -> dict[str, asyncpg.Record]:
    """Locks the accounts of these members, opening those that are missing; the rows by member id."""
    rows = await tx.fetch(SQL["lock_accounts"], shard, member_ids)
    if len(rows) < len(member_ids):
        known = {row["member_id"] for row in rows}
        await tx.execute(SQL["open_accounts"], shard, [member for member in member_ids if member not in known], FORMAT)
        rows = await tx.fetch(SQL["lock_accounts"], shard, member_ids)
    return {row["member_id"]: row for row in rows}


async def journalled(tx: Connection, shard: Shard, arrivals: Iterable[Arrival]) -> dict[tuple[bytes, Micros], bytes]:
    """The stored inputs of those arrivals that have been booked already, by (digest, business time)."""
    arrivals = list(arrivals)
    times = [arrival.input_.at for arrival in arrivals]
    digests = [arrival.digest for arrival in arrivals]
    rows = await tx.fetch(SQL["journalled"], shard, digests, min(times), max(times))
    return {(row["digest"], row["at"]): row["input"] for row in rows}


async def answers(tx: Connection, shard: Shard, digests: Sequence[bytes], now: Micros) -> dict[bytes, asyncpg.Record]:
    """The stored answers to these commands, by digest, none older than `ANSWERS_KEPT`."""
    rows = await tx.fetch(SQL["answers"], shard, digests)
    return {row["digest"]: row for row in rows if row["at"] > now - ANSWERS_KEPT}


async def bind_key(pool: Pool, shard: Shard, digest: bytes, request: bytes, now: Micros) -> asyncpg.Record:
    """Binds a key, by its digest, to a request, for as long as answers are kept; the request that it is bound to since
    before or now, with the status and body that this was refused with (0 if it was not)."""
    row = await pool.fetchrow(SQL["bind_key"], shard, digest, now, request, now - ANSWERS_KEPT)
    assert row is not None
    return row


async def keep_refusal(pool: Pool, shard: Shard, digest: bytes, status: int, body: bytes) -> None:
    """Keeps how a request was refused whose key is bound."""
    await pool.execute(SQL["keep_refusal"], shard, digest, status, body)


async def accounts_for_commands(
    connection: Connection, shard: Shard, asked: Sequence[tuple[str, bytes, str | None]]
) -> dict[str, asyncpg.Record]:
    """What commands of different members need in any case: one row for each member that has an account, by member id.
    `asked` is (member id, digest, key of a fact or None) of each command.

    Nothing is locked: only `write_if_unchanged` may write what follows from these rows.
    """
    columns = (list(column) for column in zip(*asked, strict=True))
    rows = await connection.fetch(SQL["accounts_for_commands"], shard, *columns)
    return {row["member_id"]: row for row in rows}


async def forget_answers(connection: Connection, shards: int, now: Micros) -> None:
    """Deletes the answers that are older than `ANSWERS_KEPT`, a bounded number in each statement."""
    for shard in range(shards):
        while await connection.execute(SQL["forget_answers"], shard, now - ANSWERS_KEPT, _ANSWERS_PER_DELETE) == (
            f"DELETE {_ANSWERS_PER_DELETE}"
        ):
            pass


async def load(tx: Connection, shard: Shard, needs: Sequence[tuple[int, Loaded, Needs]]) -> None:
    """Reads what the accounts of a batch need, by one statement for each kind of need, into their `Loaded`."""
    by_account = {account: loaded for account, loaded, _ in needs}
    await _load_orders(tx, shard, needs, by_account)
    await _load_facts(tx, shard, needs, by_account)
    await _load_lots(tx, shard, needs, by_account)
    await _load_due(tx, shard, needs, by_account)
    await _load_histories(tx, shard, needs, by_account)


_Needs = Sequence[tuple[int, Loaded, Needs]]
_ByAccount = dict[int, Loaded]


async def _load_orders(tx: Connection, shard: Shard, needs: _Needs, by_account: _ByAccount) -> None:
    if asked := [(account, ref) for account, _, need in needs for ref in need.orders]:
        for account, ref in asked:
            by_account[account].orders[ref] = None
        for row in await tx.fetch(SQL["orders"], shard, [key[0] for key in asked], [key[1] for key in asked]):
            by_account[row[0]].orders[row[1]] = row[2]
    if lines := [(account, ref, lines_version) for account, _, need in needs for ref, lines_version in need.lines]:
        columns = [list(column) for column in zip(*lines, strict=True)]
        for row in await tx.fetch(SQL["order_lines"], shard, *columns):
            by_account[row[0]].lines[row[1], row[2]] = row[3]


async def _load_facts(tx: Connection, shard: Shard, needs: _Needs, by_account: _ByAccount) -> None:
    if asked := [(account, key) for account, _, need in needs for key in need.facts]:
        for account, key in asked:
            by_account[account].facts[key] = None
        for row in await tx.fetch(SQL["facts"], shard, [key[0] for key in asked], [key[1] for key in asked]):
            by_account[row[0]].facts[row[1]] = row[2]


async def _load_lots(tx: Connection, shard: Shard, needs: _Needs, by_account: _ByAccount) -> None:
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
    """A row of the table `lot` as a value of the domain."""
    return LotRow(
        row["day"], row["parent"], row["pending"], row["available"], row["held"], row["expired"], row["forgiven"]
    )


async def _load_due(tx: Connection, shard: Shard, needs: _Needs, by_account: _ByAccount) -> None:
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


async def _load_histories(tx: Connection, shard: Shard, needs: _Needs, by_account: _ByAccount) -> None:
    if successes := [account for account, _, need in needs if need.successes]:
        for account in successes:
            by_account[account].successes = []
        for row in await tx.fetch(SQL["successes"], shard, successes):
            known = by_account[row["account"]].successes
            assert known is not None
            known.append(Success(row["ref"], row["paid_at"], row["success_from"], row["success_until"] or NOT_YET))
    paid = [(account, need.paid_after) for account, _, need in needs if need.paid_after is not None]
    if paid:
        for account, paid_after in paid:
            loaded = by_account[account]
            loaded.paid_after, loaded.paid_later = paid_after, []
        columns = [list(column) for column in zip(*paid, strict=True)]
        for row in await tx.fetch(SQL["orders_paid_after"], shard, *columns):
            by_account[row["account"]].paid_later.append((row["ref"], row["paid_at"]))
