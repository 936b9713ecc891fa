"""Migrations, roles and monthly partitions on a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from deploy.local import postgres
from services.kit import migrate as migrating
from services.kit.calendar import later, parse_rfc3339
from services.kit.migrate import MigrationError, ensure_months, migrate, migrations_of, pending
from services.kit.postgres import connect
from tests.conftest import as_role
from tests.greeter.service import GreeterSettings

KITS = [str(migration) for migration in migrations_of("services.kit")]


def _settings(database: str, **more: object) -> GreeterSettings:
    return GreeterSettings.model_validate(
        {
            "database_url": as_role(database, "greeter"),
            "migration_database_url": database,
            "kafka_bootstrap_servers": "127.0.0.1:1",
            **more,
        }
    )


async def test_migrating_again_or_by_several_at_once_changes_nothing(database: str) -> None:
    settings = _settings(database)
    done = await asyncio.gather(*(migrate(settings, "tests.greeter") for _ in range(3)))
    assert sorted(map(len, done)) == [0, 0, len(KITS) + 1]
    assert await migrate(settings, "tests.greeter") == []
    connection = await connect(settings, part="test")
    try:
        assert await pending(connection, "tests.greeter", schema="greeter") == []
        owners = await connection.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'greeter'")
        assert [row["tableowner"] for row in owners] == ["greeter_owner"]
        assert await connection.fetchval("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'greeter_owner'") is False
        for statement in ("INSERT INTO monthly_table VALUES ('hello')", "DELETE FROM migration"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_database_that_lacks_a_migration_says_which(database: str) -> None:
    settings = _settings(database)
    connection = await asyncpg.connect(database)
    try:
        assert await pending(connection, "tests.greeter", schema="greeter") == [*KITS, "tests.greeter/0001_hello"]
        await migrate(settings, "tests.greeter")
        await connection.execute("UPDATE greeter.migration SET checksum = 'other' WHERE package = 'tests.greeter'")
        with pytest.raises(MigrationError, match="0001_hello has changed since"):
            await pending(connection, "tests.greeter", schema="greeter")
        with pytest.raises(MigrationError, match="0001_hello has changed since"):
            await migrate(settings, "tests.greeter")
    finally:
        await connection.close()


async def test_a_migration_that_breaks_leaves_nothing_of_itself(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken" / "migrations").mkdir(parents=True)
    (tmp_path / "broken" / "__init__.py").write_text("")
    (tmp_path / "broken" / "migrations" / "0001_broken.sql").write_text("CREATE TABLE half (); SELECT nonsense;")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MigrationError, match=r"broken/0001_broken: .*nonsense"):
        await migrate(_settings(database), "broken")
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT to_regclass('greeter.half')") is None
        assert await connection.fetchval("SELECT count(*) FROM greeter.migration") == len(KITS)
    finally:
        await connection.close()


async def test_the_runtime_role_gets_months_of_registered_tables_while_others_write(database: str) -> None:
    settings = _settings(database)
    await migrate(settings, "tests.greeter")
    writer, other = await connect(settings, part="a"), await connect(settings, part="b")
    try:
        await ensure_months(
            writer, "moved", parse_rfc3339("2025-11-30T23:59:59Z"), parse_rfc3339("2026-02-01T00:00:00Z")
        )
        made = await writer.fetch("SELECT inhrelid::regclass::text AS name FROM pg_inherits ORDER BY 1")
        assert [row["name"] for row in made] == ["moved_2025_11", "moved_2025_12", "moved_2026_01", "moved_2026_02"]
        async with writer.transaction():
            await writer.execute("INSERT INTO moved VALUES ($1, 1)", parse_rfc3339("2025-12-31T23:59:59.999999Z"))
            # Another month is made beside a transaction that writes, and neither waits for the other.
            async with asyncio.timeout(2):
                same = parse_rfc3339("2024-10-05T00:00:00+08:00")
                await ensure_months(other, "moved", same, same)
                await other.execute("INSERT INTO moved VALUES ($1, 2)", same)
        names = await writer.fetch("SELECT tableoid::regclass::text AS name FROM moved ORDER BY n")
        assert [row["name"] for row in names] == ["moved_2025_12", "moved_2024_10"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="hello is not a monthly table"):
            await ensure_months(other, "hello", same, same)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await other.execute("CREATE TABLE moved_2031_01 ()")
        for span in range(10**15, 11 * 10**15, 10**15):  # both at once, and again
            await asyncio.gather(
                *(ensure_months(c, "moved", later(same, span), later(same, span)) for c in (writer, other))
            )
    finally:
        await writer.close()
        await other.close()


async def test_mend_d03_a_runtime_password_is_set_and_never_sent(server_dir: Path) -> None:
    """On a server of its own, for it must ask for passwords, and log each statement."""
    log = server_dir / "passwords.log"
    server = postgres.start(
        server_dir / "passwords", log=log, password="of the superuser", durable=False, die_with_parent=True,
        settings={"log_statement": "all"},
    )  # fmt: skip
    try:
        secret = "it's \\ secret"
        settings = _settings(server.dsn(), runtime_password=SecretStr(secret))
        await migrate(settings, "tests.greeter")
        assert "ALTER ROLE greeter PASSWORD 'SCRAM-SHA-256$4096:" in log.read_text()
        assert secret not in log.read_text()
        assert "secret" not in log.read_text()
        connection = await asyncpg.connect(server.tcp_dsn(secret, user="greeter"))
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.tcp_dsn("another", user="greeter"))
        with pytest.raises(MigrationError, match=r"RUNTIME_PASSWORD: .* ASCII"):
            await migrating.migrate(_settings(server.dsn(), runtime_password=SecretStr("秘密")), "tests.greeter")
    finally:
        postgres.stop(server)


async def test_without_an_address_to_migrate_by_it_says_so(database: str) -> None:
    settings = _settings(database, migration_database_url=None)
    with pytest.raises(MigrationError, match="MIGRATION_DATABASE_URL"):
        await migrating.migrate(settings, "tests.greeter")
