"""Members in PostgreSQL: every statement of tiering, each on one shard and shaped as arrays.

The lock doctrine. The row in `member` is the only lock of a member. `open_members` first adds the rows that are
missing, then takes the locks, both in the order of member ids. A transaction that waits for a row which another one
is adding therefore holds no lock yet, and one that waits for a lock holds only locks of smaller ids: there can be no
deadlock (adding after locking caused one). All else (`settled_order`, `decision`, the outbox) is written while the
lock is held, so a member's rows and facts are in the order in which the lock was held. The state is read in a
statement after the one that locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final, NamedTuple

import msgspec
import orjson
from asyncpg import Record

from services.kit.calendar import from_micros, rfc3339
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, Queries
from services.tiering.domain.member import Decision, Member, Order, OrderKey

SQL: Final = Queries.load(
    "services.tiering",
    "sql/member.sql",
    require=(
        "lock", "add", "states", "save", "settled_orders", "all_settled_orders", "settle",
        "standing", "members_after", "decisions",
    ),
)  # fmt: skip

Settled = dict[str, dict[OrderKey, Order]]
"""Settled orders by member and key."""

_encode = msgspec.msgpack.Encoder().encode
_member = msgspec.msgpack.Decoder(Member).decode
_order = msgspec.msgpack.Decoder(Order).decode

_DECISION_COLUMNS: Final = (
    "shard", "member_id", "version", "facts", "tier", "effective_at", "growth", "orders", "program_version",
    "history", "cause_type", "cause_source", "cause_id", "cause_time", "cause_order", "actor",
)  # fmt: skip


class Opened(NamedTuple):
    """A locked member: its state, the bytes it was read from, and the epoch of what is published now (C3)."""

    member: Member
    stored: bytes
    epoch: int


class MemberRow(NamedTuple):
    """The columns of a member's row, and the state that they must agree with."""

    member_id: str
    version: int
    tier: str
    since: datetime | None
    growth: int
    orders: int
    member: Member


class JournalRow(NamedTuple):
    """A row of the journal, cut to what the member held after that decision."""

    version: int
    tier: str
    effective_at: datetime | None


async def open_members(tx: Connection, shard: Shard, member_ids: Sequence[str]) -> dict[str, Opened]:
    """Lock the members, adding new ones, and read their states. `member_ids` are sorted."""
    await tx.execute(SQL.add, shard, member_ids)
    await tx.execute(SQL.lock, shard, member_ids)
    rows = await tx.fetch(SQL.states, shard, member_ids)
    return {row[0]: Opened(_member(row[1]) if row[1] else Member(), row[1], row[2] or 0) for row in rows}


async def settled_orders(tx: Connection, shard: Shard, named: Sequence[tuple[str, OrderKey]]) -> Settled:
    """The orders among those named, by member and key, that are settled."""
    members, keys = zip(*named, strict=True)
    return _by_member(await tx.fetch(SQL.settled_orders, shard, members, keys))


async def all_settled_orders(tx: Connection, shard: Shard, member_ids: Sequence[str]) -> Settled:
    """Every settled order of some members."""
    return _by_member(await tx.fetch(SQL.all_settled_orders, shard, member_ids))


async def save_members(tx: Connection, shard: Shard, members: Mapping[str, Opened]) -> None:
    """Write the members whose state has changed since it was read."""
    changed = [
        (member_id, opened.member, encoded)
        for member_id, opened in members.items()
        if (encoded := _encode(opened.member)) != opened.stored
    ]
    if not changed:
        return
    positions = [member.position for _, member, _ in changed]
    await tx.execute(
        SQL.save,
        shard,
        [member_id for member_id, _, _ in changed],
        [member.version for _, member, _ in changed],
        [position.tier for position in positions],
        [None if position.since is None else from_micros(position.since) for position in positions],
        [position.growth for position in positions],
        [position.orders for position in positions],
        [encoded for _, _, encoded in changed],
    )


async def save_settled(tx: Connection, shard: Shard, settled: Settled) -> None:
    """Write orders that left their member's state."""
    rows = [(member_id, key, _encode(order)) for member_id, orders in settled.items() for key, order in orders.items()]
    if rows:
        await tx.execute(SQL.settle, shard, *map(list, zip(*rows, strict=True)))


async def journal(tx: Connection, shard: Shard, decisions: Sequence[tuple[str, Decision]]) -> None:
    """Append decisions, each with its member, to the journal."""
    if not decisions:
        return
    await tx.copy_records_to_table(
        "decision",
        columns=_DECISION_COLUMNS,
        records=[_decision_row(shard, member_id, decision) for member_id, decision in decisions],
    )


async def standing(pool: Pool, shard: Shard, member_id: str) -> Member | None:
    """A member's state; None for a member of whom nothing was ever booked."""
    state = await pool.fetchval(SQL.standing, shard, member_id)
    return _member(state) if state else None


async def members_after(tx: Connection, shard: Shard, member_id: str, limit: int) -> list[MemberRow]:
    """A page of a shard's members, in the order of ids."""
    rows = await tx.fetch(SQL.members_after, shard, member_id, limit)
    return [
        MemberRow(
            row["member_id"],
            row["version"],
            row["tier"],
            row["since"],
            row["growth"],
            row["orders"],
            _member(row["state"]),
        )
        for row in rows
    ]


async def orders_of(tx: Connection, shard: Shard, member_ids: Sequence[str]) -> Settled:
    """The newest version of every order of some members, open and settled."""
    orders = await all_settled_orders(tx, shard, member_ids)
    for row in await tx.fetch(SQL.states, shard, member_ids):
        if row["state"]:
            # An order that is open as well as settled is outdated among the settled ones.
            orders.setdefault(row["member_id"], {}).update(_member(row["state"]).orders)
    return orders


async def decisions(tx: Connection, shard: Shard, member_ids: Sequence[str]) -> dict[str, list[JournalRow]]:
    """The journal of some members, in order."""
    rows = await tx.fetch(SQL.decisions, shard, member_ids)
    return {
        member_id: [JournalRow(row["version"], row["tier"], row["effective_at"]) for row in of_member]
        for member_id, of_member in groupby(rows, key=lambda row: str(row["member_id"]))
    }


def _by_member(rows: Iterable[Record]) -> Settled:
    settled: Settled = {}
    for member_id, key, encoded in rows:
        settled.setdefault(member_id, {})[key] = _order(encoded)
    return settled


def _decision_row(shard: Shard, member_id: str, decision: Decision) -> tuple[object, ...]:
    position, cause = decision.position, decision.cause
    history = [[r.tier, rfc3339(r.effective_at), r.growth, r.orders, r.program_version] for r in position.reached]
    return (
        shard,
        member_id,
        decision.version,
        [fact.kind for fact in decision.facts],
        position.tier,
        None if position.since is None else from_micros(position.since),
        position.growth,
        position.orders,
        decision.program_version,
        orjson.dumps(history).decode(),
        cause.type,
        cause.source,
        cause.id,
        from_micros(cause.time),
        cause.order,
        cause.actor,
    )
