"""`python -m services.notifier verify`: was each message decided once, sent as decided, and erased data removed?

Each shard is read in a snapshot of its own, so it may run while the service works.
"""

from __future__ import annotations

from collections import Counter
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
    counts: Counter[str] = Counter()
    totals: Counter[tuple[str, str, str]] = Counter()
    for shard in range(shards):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            faults += await _faults_of(connection, shard, shards, counts)
            counts["members"] += await connection.fetchval(SQL.member_count, shard)
            counts["attempts"] += await connection.fetchval(SQL.attempt_count, shard)
            for row in await connection.fetch(SQL.totals, shard):
                totals[row["touchpoint"], row["channel"], row["outcome"]] += row["messages"]
    return {
        **{name: counts[name] for name in ("members", "messages", "attempts")},
        "decisions": [
            {"touchpoint": touchpoint, "channel": channel, "outcome": outcome, "messages": messages}
            for (touchpoint, channel, outcome), messages in sorted(totals.items())
        ],
        **verdict([*faults, *await _misplaced(connection, shards)]),
    }


async def _faults_of(connection: Connection, shard: int, shards: int, counts: Counter[str]) -> list[str]:
    """What is broken on a shard, in the caller's snapshot; counts its messages."""
    faults = [f"decided {row['times']} times: {_name(row)}" for row in await connection.fetch(SQL.repeated, shard)]
    faults += [f"unaccounted: {row['key'].hex()}" for row in await connection.fetch(SQL.unaccounted, shard)]
    faults += [
        f"not erased: {row['kind']} of {row['member_id']}" for row in await connection.fetch(SQL.unerased, shard)
    ]
    async for row in connection.cursor(SQL.messages, shard, prefetch=_ROWS_AT_ONCE):
        counts["messages"] += 1
        key = message_key(row["member_id"], row["touchpoint"], row["occasion"], row["channel"])
        if key != row["key"] or shard_of(row["member_id"], shards) != shard:
            faults.append(f"wrong key or shard: {_name(row)}")
    return faults


async def _misplaced(connection: Connection, shards: int) -> list[str]:
    """Rows on shards that nobody reads."""
    return [f"on no shard: a row of {row['name']}" for row in await connection.fetch(SQL.beyond_shards, shards)]


def _name(row: Any) -> str:
    return ":".join((row["touchpoint"], row["member_id"], row["occasion"], row["channel"]))
