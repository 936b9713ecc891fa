"""Migrations beside a service that works: readers and writers go on, whoever holds a long snapshot."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from services.kit import ddl
from services.kit.calendar import parse_rfc3339
from services.kit.migrate import MigrationError, ensure_months, migrate
from services.kit.postgres import connect
from tests.conftest import as_role
from tests.greeter.service import GreeterSettings
from tests.integration.kit_support import eventually

FIRST = """
CREATE TABLE kept (n bigint NOT NULL, word text NOT NULL DEFAULT 'w');
CREATE INDEX kept_n ON kept (n);
INSERT INTO kept SELECT n, 'w' || n FROM generate_series(1, 1000) AS n;
CREATE TABLE monthly (at bigint NOT NULL, n bigint NOT NULL) PARTITION BY RANGE (at);
INSERT INTO monthly_table VALUES ('monthly');
"""
JANUARY, MARCH, APRIL = map(parse_rfc3339, ("2026-01-05T00:00:00Z", "2026-03-05T00:00:00Z", "2026-04-05T00:00:00Z"))


class Shop:
    """A service's schema with a package of migrations that grows."""

    def __init__(self, settings: GreeterSettings, package: Path) -> None:
        self.settings = settings
        self.package = package

    async def migrate(self) -> list[str]:
        return await migrate(self.settings, self.package.name)

    async def and_then(self, number: int, sql: str) -> list[str]:
        """Adds a migration and applies it."""
        self.add(number, sql)
        return await self.migrate()

    def add(self, number: int, sql: str) -> None:
        (self.package / "migrations" / f"{number:04}_change.sql").write_text(sql)


@pytest.fixture
async def shop(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    package = tmp_path / "growing"
    (package / "migrations").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    settings = GreeterSettings.model_validate(
        {
            "database_url": as_role(database, "greeter"),
            "migration_database_url": database,
            "kafka_bootstrap_servers": "127.0.0.1:1",
        }
    )
    made = Shop(settings, package)
    await made.and_then(1, FIRST)
    yield made
    for name in [name for name in sys.modules if name.split(".")[0] == "growing"]:
        del sys.modules[name]


async def _waits(settings: GreeterSettings, sql: str, until: Callable[[], bool]) -> list[float]:
    """The seconds that a statement takes, again and again."""
    connection = await connect(settings, part="reader")
    took = []
    try:
        while not until():
            began = time.monotonic()
            await connection.execute(sql)
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
    finally:
        await connection.close()
    return took


async def _behind_a_long_snapshot(shop: Shop, change: Callable[[], Awaitable[list[str]]]) -> list[float]:
    """How long reads and writes of `kept` took beside a migration that has to wait for a long transaction."""
    long = await connect(shop.settings, part="report")
    snapshot = long.transaction(isolation="repeatable_read", readonly=True)
    await snapshot.start()
    await long.fetchval("SELECT count(*) FROM kept WHERE n < 5")
    migrating = asyncio.ensure_future(change())
    watching = asyncio.gather(
        _waits(shop.settings, "SELECT * FROM kept WHERE n = 7", migrating.done),
        _waits(shop.settings, "INSERT INTO kept (n) VALUES (0)", migrating.done),
    )
    await asyncio.sleep(4)
    assert not migrating.done()  # the snapshot holds it up
    await snapshot.rollback()
    await long.close()
    assert await migrating == ["growing/0002_change"]
    return [wait for waits in await watching for wait in waits]


@pytest.mark.parametrize(
    "sql",
    ["DROP INDEX kept_n;", "ALTER TABLE kept ADD COLUMN more text;", "ALTER TABLE kept DROP COLUMN word;"],
)
async def test_mend_c07_no_read_waits_longer_than_a_second_behind_a_migration(shop: Shop, sql: str) -> None:
    waits = await _behind_a_long_snapshot(shop, lambda: shop.and_then(2, sql))
    assert max(waits) < 1, sorted(waits)[-5:]
    assert len(waits) > 50


async def test_mend_c07_an_index_is_built_and_dropped_beside_readers_and_a_long_snapshot(shop: Shop) -> None:
    sql = """-- outside a transaction
    -- Words; they are looked up.
    CREATE INDEX CONCURRENTLY IF NOT EXISTS kept_word ON kept (word);
    DROP INDEX CONCURRENTLY IF EXISTS kept_n;
    """
    waits = await _behind_a_long_snapshot(shop, lambda: shop.and_then(2, sql))
    assert max(waits) < 1, sorted(waits)[-5:]
    assert await _indexes(shop, "kept") == {"kept_word": True}


async def test_mend_c07_an_interrupted_index_is_built_again(shop: Shop, database: str) -> None:
    shop.add(2, "-- outside a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS kept_word ON kept (word);")
    superuser = await asyncpg.connect(database)
    writer = superuser.transaction()
    await writer.start()
    await superuser.execute("INSERT INTO greeter.kept VALUES (0, 'open')")
    building = asyncio.ensure_future(shop.migrate())
    await eventually(lambda: _stands(shop, {"kept_n": True, "kept_word": False}))
    building.cancel()
    with suppress(asyncio.CancelledError):
        await building
    await writer.rollback()
    await superuser.close()
    assert await _stands(shop, {"kept_n": True, "kept_word": False})
    assert await shop.migrate() == ["growing/0002_change"]
    assert await _indexes(shop, "kept") == {"kept_n": True, "kept_word": True}


async def test_mend_c07_a_partitioned_table_gets_an_index_partition_by_partition(shop: Shop) -> None:
    runtime = await connect(shop.settings, part="writer")
    await ensure_months(runtime, "monthly", JANUARY, MARCH)
    await runtime.execute("INSERT INTO monthly VALUES ($1, 1)", JANUARY)
    made = await shop.and_then(
        2, "-- outside a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS monthly_n ON monthly (n) WHERE n > 0;"
    )
    assert made == ["growing/0002_change"]
    months = ("monthly_2026_01", "monthly_2026_02", "monthly_2026_03")
    for month in months:
        assert await _indexes(shop, month) == {f"{month}_n": True}
    assert await _indexes(shop, "monthly") == {"monthly_n": True}
    await ensure_months(runtime, "monthly", APRIL, APRIL)
    assert list((await _indexes(shop, "monthly_2026_04")).values()) == [True]
    await runtime.execute("SET enable_seqscan = off")
    plan = await runtime.fetch("EXPLAIN SELECT * FROM monthly WHERE n = 1")
    assert sum("Index" in row[0] and "using" in row[0] for row in plan) + sum("Bitmap Index" in r[0] for r in plan) == 4
    await runtime.close()


async def test_mend_c07_several_migrate_at_once_though_an_index_waits_for_snapshots(shop: Shop) -> None:
    shop.add(2, "-- outside a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS kept_word ON kept (word);")
    done = await asyncio.wait_for(asyncio.gather(*(shop.migrate() for _ in range(4))), 30)
    assert sorted(map(len, done)) == [0, 0, 0, 1]


async def test_mend_c07_who_holds_a_migration_up_is_named(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ddl, "TRY_SECONDS", 1.0)
    long = await connect(shop.settings, part="report")
    async with long.transaction():
        await long.fetchval("SELECT count(*) FROM kept")
        with pytest.raises(MigrationError, match=r"growing/0002_change: locks .* s old: greeter-report, pid \d+"):
            await shop.and_then(2, "ALTER TABLE kept ADD COLUMN more text;")
    assert await shop.migrate() == ["growing/0002_change"]
    await long.close()


async def _stands(shop: Shop, indexes: dict[str, bool]) -> bool:
    return await _indexes(shop, "kept") == indexes


async def _indexes(shop: Shop, table: str) -> dict[str, bool]:
    """The indexes of a table, and whether each is valid."""
    connection = await connect(shop.settings, part="look")
    rows = await connection.fetch(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = to_regclass($1) ORDER BY 1", table
    )
    await connection.close()
    return dict(tuple(row) for row in rows)
