"""Messages between our own accounts that could not be booked: kept whole in the database until they are driven again.

What publishers send they can send again. A message between accounts is sent once, with the points of a transfer: if it
were lost, they would be in transit for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from services.kit.calendar import Micros
from services.kit.dead_letter import Rejected, is_own_message
from services.kit.kafka import Headers
from services.kit.postgres import Connection, Queries

_SQL: Final = Queries.load("services.kit", "sql/failed_messages.sql", require=("keep", "waiting", "oldest", "forget"))
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Headers).decode


class FailedMessage(NamedTuple):
    """A message that was not booked, its place in the log, and why."""

    topic: str
    partition: int
    offset: int
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers


async def keep(tx: Connection, rejected: Sequence[Rejected]) -> None:
    """Keeps those of the rejected records that are messages of our own, in the transaction that passes them over."""
    rows = [
        (
            record.topic,
            record.partition,
            record.offset,
            record.appended_at,
            str(refused.reason),
            record.key,
            record.value,
            _encode(record.headers),
        )
        for record, refused in rejected
        if is_own_message(record)
    ]
    if rows:
        await tx.execute(_SQL.keep, *(list(column) for column in zip(*rows, strict=True)))


async def waiting(connection: Connection) -> list[FailedMessage]:
    """All that wait to be driven again, in their order."""
    return [
        FailedMessage(
            row["topic"],
            row["partition"],
            row["record_offset"],
            row["reason"],
            row["key"],
            row["value"],
            _decode(row["headers"]),
        )
        for row in await connection.fetch(_SQL.waiting)
    ]


async def oldest(connection: Connection, topic: str, partition: int) -> tuple[int, Micros | None]:
    """How many of a topic's partition wait, and since when the oldest does."""
    row = await connection.fetchrow(_SQL.oldest, topic, partition)
    assert row is not None
    return row["number"], row["appended_at"]


async def forget(connection: Connection, topic: str, partition: int, offset: int) -> None:
    """Forgets one that was driven again."""
    await connection.execute(_SQL.forget, topic, partition, offset)
