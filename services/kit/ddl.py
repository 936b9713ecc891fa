"""Changing tables that are in use: no reader or writer waits longer than a moment behind a migration.

A statement that needs a strong lock (ALTER TABLE, DROP INDEX) waits for every transaction that has touched the table,
and whoever comes later waits behind it, readers too. So it gives up after `LOCK_SECONDS`, lets the others pass, and
tries again. Indexes are built and dropped CONCURRENTLY, which locks nobody out, cannot run in a transaction, and leaves
an invalid index behind when it is interrupted. The server does not build concurrently on a partitioned table; here that
is done partition by partition.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from services.kit import log
from services.kit.postgres import Connection

_log = log.get(__name__)

LOCK_SECONDS: Final = 0.4
"""How long a statement waits for a lock, and so how long those wait who come behind it."""
PAUSE_SECONDS: Final = 2.0
"""The longest pause between two tries, in which the others pass."""
TRY_SECONDS: Final = 600.0
"""How long to try before giving up."""

_INDEX: Final = re.compile(r"CREATE (UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON (\w+)\s+(.+)", re.DOTALL)
_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)

Change = Callable[[], Awaitable[object]]
"""What is done in one transaction; it may run again."""


class Locked(Exception):
    """The locks of a change could not be had; says which transaction is the oldest."""


async def change_briefly(connection: Connection, what: str, change: Change) -> None:
    """Runs a change in a transaction that waits for each lock for a moment only, again and again until it goes through.

    Raises Locked when it has not gone through within `TRY_SECONDS`.
    """
    ends = time.monotonic() + TRY_SECONDS
    attempt = 0
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)}")
                await change()
            return
        except asyncpg.LockNotAvailableError as locked:
            oldest = await _oldest_transaction(connection)
            if time.monotonic() > ends:
                raise Locked(f"locks were not to be had for {TRY_SECONDS:.0f} s; {oldest}") from locked
            attempt += 1
            _log.warning("migration_waits", migration=what, attempt=attempt, oldest=oldest)
            await asyncio.sleep(random.uniform(0.5, 1.0) * min(PAUSE_SECONDS, 0.2 * 2**attempt))


async def _oldest_transaction(connection: Connection) -> str:
    row = await connection.fetchrow("""
        SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
        ORDER BY xact_start LIMIT 1
    """)
    if row is None:
        return "no other transaction is open now"
    return f"the oldest open transaction is {row['seconds']} s old: {row['application_name']}, pid {row['pid']}"


async def run_outside(connection: Connection, what: str, sql: str) -> None:
    """Runs the statements of a file that cannot be in a transaction, each by itself. It may run again from its
    beginning: statements say IF (NOT) EXISTS, and what an interrupted run has left invalid is dropped first."""
    await _drop_invalid(connection)
    for statement in statements_of(sql):
        index = _INDEX.fullmatch(statement)
        if index is not None and await _is_partitioned(connection, index[3]):
            await _build_on_partitions(connection, what, index)
        else:
            await connection.execute(statement)


def statements_of(sql: str) -> list[str]:
    """The statements of a file without functions, without its comments."""
    return [text for part in _COMMENT.sub("", sql).split(";") if (text := part.strip())]


async def _drop_invalid(connection: Connection) -> None:
    """Drops what a build that was interrupted has left. (A partitioned index is invalid until it has all its parts.)"""
    rows = await connection.fetch("""
        SELECT c.relname AS name FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relnamespace = current_schema()::regnamespace
    """)
    for row in rows:
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {row['name']}")


async def _is_partitioned(connection: Connection, table: str) -> bool:
    found: bool = await connection.fetchval("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)", table)
    return found


async def _build_on_partitions(connection: Connection, what: str, index: re.Match[str]) -> None:
    """Builds an index on each partition and attaches it; partitions that are made from now on get it by themselves."""
    unique, name, table, rest = index[1] or "", index[2], index[3], index[4]
    await change_briefly(
        connection,
        what,
        lambda: connection.execute(f"CREATE {unique}INDEX IF NOT EXISTS {name} ON ONLY {table} {rest}"),
    )
    for partition in await _partitions_without(connection, table, name):
        part = f"{partition}_{name.removeprefix(f'{table}_')}"
        await connection.execute(f"CREATE {unique}INDEX CONCURRENTLY IF NOT EXISTS {part} ON {partition} {rest}")
        attach = f"ALTER INDEX {name} ATTACH PARTITION {part}"
        await change_briefly(connection, what, lambda attach=attach: connection.execute(attach))  # type: ignore[misc]


async def _partitions_without(connection: Connection, table: str, index: str) -> list[str]:
    rows = await connection.fetch(
        """
        SELECT p.relname AS name FROM pg_inherits AS h JOIN pg_class AS p ON p.oid = h.inhrelid
        WHERE h.inhparent = to_regclass($1) AND NOT EXISTS (
            SELECT FROM pg_index AS i JOIN pg_inherits AS a ON a.inhrelid = i.indexrelid
            WHERE i.indrelid = p.oid AND a.inhparent = to_regclass($2)
        )
        ORDER BY p.relname
        """,
        table,
        index,
    )
    return [row["name"] for row in rows]
