"""What was booked and journalled: entries, rows of the journal, and the facts of holds, redemptions and transfers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from services.kit.calendar import NOT_YET, Micros
from services.kit.executor import DatabaseUnavailable
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Pool, is_unavailable
from services.ledger.domain.chain import Record, decode_record, digest_of
from services.ledger.domain.state.entries import KINDS, EntryKind
from services.ledger.reads.rows import EntryRow, JournalRow
from services.ledger.reads.sql import SQL
from services.ledger.reads.sums import Sums, decode_sums

FOREVER: Final = Micros(253_402_300_799_000_000)
"""The last second of the year 9999, after everything that is booked. PostgreSQL's times end before `END_OF_TIME`."""

NEWEST: Final = (2**63 - 1, 2**15 - 1)
"""(version, line) above every entry."""

MAX_LOOKED_AT: Final = 20_000
"""Entries that a page without an index of its own looks at: some 20 ms. It may then have fewer than asked for."""

HOT_KINDS: Final = ("pending", "confirmed")
"""The kinds that the index of kinds leaves out, for the sake of the hot path."""

MAX_TAKEN: Final = 100
"""Entries that `taken_later` reads of a lot."""


class Around(NamedTuple):
    """The last milestone up to an instant (version 0 and no sums without one), and the version of the one behind it."""

    version: int
    booked_at: Micros
    sums: Sums
    next_version: int


async def milestones_around(tx: Connection, shard: Shard, account: int, instant: Micros) -> Around:
    """Between which milestones of an account an instant lies."""
    row = await tx.fetchrow(SQL.milestones_around, shard, account, instant)
    assert row is not None
    following = NEWEST[0] if row["next_version"] is None else row["next_version"]
    if row["version"] is None:
        return Around(0, NOT_YET, Sums({}, {}), following)
    return Around(row["version"], row["booked_at"], decode_sums(row["sums"]), following)


async def version_at(tx: Connection, shard: Shard, account: int, instant: Micros, around: Around | None = None) -> int:
    """The last version of an account that was booked up to an instant; 0 without one."""
    found = around or await milestones_around(tx, shard, account, instant)
    version = await tx.fetchval(SQL.version_at, shard, account, found.version, found.next_version, instant)
    return found.version if version is None else version


class Entries(NamedTuple):
    """Entries, the newest first, and the position (version, line) behind which there may be more of them."""

    rows: list[EntryRow]
    more_behind: tuple[int, int] | None


async def entries(
    tx: Connection,
    shard: Shard,
    account: int,
    *,
    before: tuple[int, int] = NEWEST,
    kind: EntryKind | None = None,
    booked_from: Micros = NOT_YET,
    booked_until: Micros = FOREVER,
    limit: int,
) -> Entries:
    """An account's entries, the newest first, of one kind or all, booked in [`booked_from`, `booked_until`).

    At most `limit`. There may be fewer although there are more: no page looks at more than `MAX_LOOKED_AT` entries.
    """
    after = 0
    if booked_until != FOREVER:
        before = min(before, (await version_at(tx, shard, account, Micros(booked_until - 1)) + 1, 0))
    if booked_from != NOT_YET:
        after = await version_at(tx, shard, account, Micros(booked_from - 1))
    moves = [pair for pair, name in KINDS.items() if kind is None or name == kind]
    span = (shard, account, *before, after)
    time = (booked_from, booked_until)
    columns = ([debit for debit, _ in moves], [credit for _, credit in moves])
    if kind is not None and kind not in HOT_KINDS:
        rows = await tx.fetch(SQL.entries_of_kind, *span, *columns, limit + 1)
    else:
        look = limit + 1 if kind is None else MAX_LOOKED_AT
        rows = await tx.fetch(SQL.entries, *span, *time, *columns, limit + 1, look)
    found = [EntryRow(*row) for row in rows]
    if len(found) > limit:
        return Entries(found[:limit], (found[limit - 1].version, found[limit - 1].line))
    if kind not in HOT_KINDS:
        return Entries(found, None)
    end = await tx.fetchrow(SQL.end_of_look, *span, *time, MAX_LOOKED_AT)
    return Entries(found, None if end is None else (end["version"], end["line"]))


async def entries_of(tx: Connection, shard: Shard, account: int, versions: Sequence[int]) -> list[EntryRow]:
    """The entries of some versions, in order."""
    return [EntryRow(*row) for row in await tx.fetch(SQL.entries_of_versions, shard, account, versions)]


async def journal_row(tx: Connection, shard: Shard, account: int, version: int) -> JournalRow | None:
    """The journal row of a version."""
    row = await tx.fetchrow(SQL.journal_row, shard, account, version)
    return None if row is None else JournalRow(*row)


async def records_about(tx: Connection, shard: Shard, account: int, entry: EntryRow) -> list[Record]:
    """The outcomes that moved points of an entry's rule for its ref, up to the entry's own, the latest first."""
    rows = await tx.fetch(SQL.journal_of_ref, shard, account, entry.ref, entry.rule, entry.version)
    return [decode_record(row["record"]) for row in rows]


async def taken_later(tx: Connection, shard: Shard, account: int, entry: EntryRow) -> list[EntryRow]:
    """The entries that later took points from an entry's lot: spent, clawed back, expired; at most `MAX_TAKEN`."""
    rows = await tx.fetch(
        SQL.taken_from_lot, shard, account, entry.version, entry.line, entry.lot_day, entry.lot_parent, MAX_TAKEN
    )
    return [EntryRow(*row) for row in rows]


async def fact_by_public_id(pool: Pool, shard: Shard, key: str) -> tuple[str, bytes] | None:
    """(member, state) of a hold, redemption or transfer by its key, or None. Raises DatabaseUnavailable."""
    try:
        row = await pool.fetchrow(SQL.fact_by_public_id, shard, key)
    except Exception as error:
        if is_unavailable(error):
            raise DatabaseUnavailable(repr(error)) from error
        raise
    return None if row is None else (row["member_id"], row["value"])


async def facts_of(tx: Connection, keys: Sequence[tuple[int, str, str]]) -> list[bytes | None]:
    """The facts of (shard, member id, key), in order; None for what is not known."""
    found: list[bytes | None] = [None] * len(keys)
    if keys:
        for row in await tx.fetch(SQL.facts_of, *(list(column) for column in zip(*keys, strict=True))):
            found[row["n"] - 1] = row["value"]
    return found


async def journal_of_event(
    tx: Connection, shard: Shard, member_id: str, source: str, event_id: str
) -> list[JournalRow]:
    """What was journalled of a member's event, by business time: one row for each time that the event stated."""
    rows = await tx.fetch(SQL.journal_of_event, shard, digest_of(member_id, source, event_id))
    return [JournalRow(*row) for row in rows]
