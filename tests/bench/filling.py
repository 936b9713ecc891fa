"""Tables as full as those of a ledger after years.

One member's rows are the ledger's own: booked by its write path, some months ago. Every other member gets them again,
under an account of its own and with digests of its own. Only the hashes of the chain are not right.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncpg

from deploy.shop.events import KAFKA_HEADERS, cloud_event
from schemas.topics import SHARDS
from services.kit import clock
from services.kit.calendar import MICROS_PER_SECOND, Micros, later
from services.kit.kafka import Record, shard_of
from services.kit.migrate import ensure_months
from services.kit.postgres import Connection
from services.ledger.consumer import Decoder
from services.ledger.executor import Ledger
from tests.bench import booking
from tests.bench.booking import Tap
from tests.bench.system import Database

ORDERS: Final = 5
"""Orders of a member, a month after each other; each is completed days later."""
LINES: Final = 3
FIRST: Final = "filled-0"
_DAY: Final = 86_400 * MICROS_PER_SECOND
_TABLES: Final = ("account", "lot", "orders", "order_lines", "fact", "entry", "journal")
_COLUMNS: Final = """
SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_OF_ANOTHER: Final = {
    "shard": "i.shard",
    "account": "i.account",
    "digest": "decode(md5(i.account || ':' || t.version), 'hex')",
}


def name_of(number: int) -> str:
    """The member of a number."""
    return f"filled-{number}"


async def fill(database: Database, *, entries: int) -> int:
    """Fill a fresh database with so many entries or a few more; how many members have them."""
    await _book_first(database)
    connection = await _connect(database)
    try:
        each = await connection.fetchval("SELECT count(*) FROM entry")
        members = -(-entries // int(each))
        first = await connection.fetchval("SELECT account FROM identity")
        names = sorted((shard_of(name_of(n), SHARDS), name_of(n)) for n in range(1, members))
        rows = [(shard, name, first + n) for n, (shard, name) in enumerate(names, 1)]
        await connection.copy_records_to_table("identity", records=rows, columns=("shard", "member_id", "account"))
        await connection.execute("SELECT setval('account_number', $1)", first + members)
        # Two at a time, as there are processors; the largest are begun first.
        order = iter(reversed(_TABLES))
        await asyncio.gather(*(_multiply(database, order, first) for _ in range(2)))
    finally:
        await connection.close()
    return members


async def _connect(database: Database) -> asyncpg.Connection[Any]:
    return await asyncpg.connect(
        database.dsn(), server_settings={"search_path": "ledger", "synchronous_commit": "off"}, command_timeout=3600
    )


async def _multiply(database: Database, tables: Any, first: int) -> None:
    """Give the first account's rows of each of these tables to all others, in the order of the primary key."""
    connection = await _connect(database)
    try:
        for table in tables:
            columns = [row["attname"] for row in await connection.fetch(_COLUMNS, table)]
            values = ", ".join(_OF_ANOTHER.get(column, f"t.{column}") for column in columns)
            await connection.execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM identity i "
                f"CROSS JOIN LATERAL (SELECT * FROM {table} WHERE account = {first}) AS t WHERE i.account > {first}"
            )
            # Hints are set and statistics known, as they are of what has stood for long.
            await connection.execute(f"VACUUM (ANALYZE) {table}")
    finally:
        await connection.close()


async def _book_first(database: Database) -> None:
    async with booking.ledger_pool(database) as pool, pool.acquire() as connection:
        started = later(clock.now(), -(ORDERS + 1) * 30 * _DAY)
        owner = await asyncpg.connect(database.dsn(), server_settings={"search_path": "ledger"})
        try:
            await lay_months(owner, started)
        finally:
            await owner.close()
        ledger = Ledger()
        await ledger.programs.read(connection)
        decode = Decoder(ledger, SHARDS)
        for number in range(ORDERS):
            for step, after in (("paid", 0), ("completed", 6)):
                at = later(started, (30 * number + after) * _DAY)
                record = record_of(FIRST, f"filled-{number}", step, at)
                await booking.book(Tap(connection), ledger, decode, record.partition, [record])


async def lay_months(connection: Connection, since: Micros) -> None:
    """Make the months of journal and entries from an instant on."""
    for table in ("journal", "entry"):
        await ensure_months(connection, table, since, clock.now())


def record_of(member_id: str, order: str, step: str, at: Micros) -> Record:
    """An event of an order, appended as it happened."""
    data: dict[str, Any] = {"order_id": order}
    if step == "paid":
        lines = [{"line_id": str(n), "sku": f"sku-{n}", "quantity": 1, "amount": "100"} for n in range(LINES)]
        data |= {"currency": "CNY", "lines": lines}
    event = cloud_event(
        source="/shop/bench",
        event_id=f"{order}:{step}",
        event_type=f"commerce.order.{step}.v1",
        member_id=member_id,
        at=at,
        data=data,
    )
    key = member_id.encode()
    return Record(event.topic, shard_of(member_id, SHARDS), 0, at, key, event.body, tuple(KAFKA_HEADERS))
