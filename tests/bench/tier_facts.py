"""What tiering tells the ledger about a backlog, made in this process: the second half of the ledger's work."""

from __future__ import annotations

import asyncpg
import orjson

from schemas.topics import SHARDS
from services.kit import clock
from services.kit.kafka import Record, Shard
from services.kit.postgres import new_pool
from services.ledger.consumer import TIERS
from services.tiering.__main__ import SERVICE
from services.tiering.domain.program import ProgramVersions, compile_program
from services.tiering.events.inbound import POINTS, Decoder
from services.tiering.executor import Booking
from services.tiering.settings import TieringSettings
from tests.bench.booking import BATCH
from tests.bench.system import Database

_OUTBOX = "SELECT shard, topic, key, value FROM {schema}.outbox WHERE topic = $1 ORDER BY shard, id"


async def tier_records(database: Database) -> dict[Shard, list[Record]]:
    """Book what waits in the ledger's outbox in tiering; what then waits in tiering's, as records by shard."""
    connection = await asyncpg.connect(database.dsn())
    try:
        document = orjson.loads(await connection.fetchval("SELECT document FROM ledger.program"))
        versions = ProgramVersions([compile_program(document)])
        await _book(database, versions, await _waiting(connection, "ledger", POINTS))
        return await _waiting(connection, "tiering", TIERS)
    finally:
        await connection.close()


async def _book(database: Database, versions: ProgramVersions, records: dict[Shard, list[Record]]) -> None:
    settings = TieringSettings(database_url=database.dsn("tiering"), kafka_bootstrap_servers="127.0.0.1:1")
    decode = Decoder(lambda: versions, shards=SHARDS, max_event_age_days=settings.max_event_age_days)
    booking = Booking(lambda: versions, SHARDS)
    async with new_pool(settings, prepare=SERVICE.prepare) as pool:
        for shard, of_shard in records.items():
            for start in range(0, len(of_shard), BATCH):
                inputs = [input_ for input_ in map(decode, of_shard[start : start + BATCH]) if input_ is not None]
                async with pool.acquire() as tx, tx.transaction():
                    await booking(tx, shard, inputs)


async def _waiting(
    connection: asyncpg.Connection[asyncpg.Record], schema: str, topic: str
) -> dict[Shard, list[Record]]:
    placed: dict[Shard, list[Record]] = {}
    headers = (("content-type", b"application/cloudevents+json"),)
    for row in await connection.fetch(_OUTBOX.format(schema=schema), topic):
        records = placed.setdefault(row["shard"], [])
        records.append(Record(topic, row["shard"], len(records), clock.now(), row["key"], row["value"], headers))
    return placed
