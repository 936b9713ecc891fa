"""Facts that are to be sent, written in the transaction that makes them true; the relay sends them afterwards.

A row is written while the locks of its members are held. So the ids of a member's rows are in the order of its facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from services.kit.kafka import Headers, Shard
from services.kit.postgres import Connection, Queries

_SQL: Final = Queries.load("services.kit", "sql/outbox.sql", require=("append",))
_COLUMNS: Final = ("shard", "topic", "key", "value", "headers")

MAX_INSERTED_ROWS: Final = 50
"""Up to so many rows an INSERT is cheaper than COPY, which needs more round trips."""


class OutboxRow(NamedTuple):
    """One record to send. `shard` is that of the transaction that writes it; the record's partition follows from
    its key, so a row may be addressed to another shard's member. A row without key goes to partition 0."""

    shard: Shard
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


OutboxRecord = tuple[int, str, bytes | None, bytes | None, bytes | None]
"""A row as the table has it: shard, topic, key, value, and the headers as msgpack."""


async def append(tx: Connection, rows: Sequence[OutboxRow]) -> None:
    """Writes rows, in order, in the caller's transaction (after the members' locks are held)."""
    if not rows:
        return
    records = records_of(rows)
    if len(records) <= MAX_INSERTED_ROWS:
        await tx.execute(_SQL.append, *(list(column) for column in zip(*records, strict=True)))
    else:
        await tx.copy_records_to_table("outbox", columns=_COLUMNS, records=records)


def records_of(rows: Iterable[OutboxRow]) -> list[OutboxRecord]:
    """Rows as the table has them, for a caller that writes them in a statement of its own."""
    return [
        (shard, topic, key, value, msgspec.msgpack.encode(headers) if headers else None)
        for shard, topic, key, value, headers in rows
    ]
