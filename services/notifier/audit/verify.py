"""`python -m services.notifier verify`: was each message decided once, sent as decided, and erased data removed?

Read in one snapshot, so it may run while the service works.
"""

from __future__ import annotations

from typing import Any, Final

from services.kit.kafka import shard_of
from services.kit.postgres import Connection, Queries
from services.kit.verification import run_verify, verdict
from services.notifier.domain.decision import message_key
from services.notifier.settings import NotifierSettings

SQL: Final = Queries.load(
    "services.notifier", "sql/verify.sql", require=("repeated", "unaccounted", "unerased", "messages", "totals")
)
_ROWS_AT_ONCE: Final = 1000


async def verify(settings: NotifierSettings, arguments: list[str]) -> int:
    """Check what is stored, as `examine` says; prints one line of JSON."""
    return await run_verify(settings, arguments, lambda connection: examine(connection, settings.shards))


async def examine(connection: Connection, shards: int) -> dict[str, Any]:
    """The totals, and what is broken: `{members, messages, attempts, decisions, broken, examples}`.

    Checked: each business key has one decision (S1), each decision to send over a gateway has its attempt and no
    attempt is without one (S5), each key is the digest of its row and each row on its member's shard, and nothing
    that an erasure covers is still there.
    """
    faults: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        faults += [f"decided {row['times']} times: {_name(row)}" for row in await connection.fetch(SQL.repeated)]
        faults += [f"unaccounted: {row['key'].hex()}" for row in await connection.fetch(SQL.unaccounted)]
        faults += [f"not erased: {row['kind']} of {row['member_id']}" for row in await connection.fetch(SQL.unerased)]
        messages = 0
        async for row in connection.cursor(SQL.messages, prefetch=_ROWS_AT_ONCE):
            messages += 1
            key = message_key(row["member_id"], row["touchpoint"], row["occasion"], row["channel"])
            if key != row["key"] or shard_of(row["member_id"], shards) != row["shard"]:
                faults.append(f"wrong key or shard: {_name(row)}")
        members = await connection.fetchval("SELECT count(*) FROM member")
        attempts = await connection.fetchval("SELECT count(*) FROM attempt")
        totals = [dict(row) for row in await connection.fetch(SQL.totals)]
    return {
        "members": members,
        "messages": messages,
        "attempts": attempts,
        "decisions": totals,
        **verdict(faults),
    }


def _name(row: Any) -> str:
    return ":".join((row["touchpoint"], row["member_id"], row["occasion"], row["channel"]))
