"""Plain SQL migrations: `NNNN_name.sql` in a service's `migrations/`, one after the other, one process at a time.

Each runs in a transaction of its own, which waits for locks a moment only and is tried again, so that a service that
works meanwhile does not stand still (`ddl.py`). One whose first line is `-- outside a transaction` builds or drops
indexes concurrently.

The kit's own migrations (`consumer_offset`, `outbox`, `redriven`, `ensure_month`) run first, in the same schema. A
migration runs as the schema's owner with the schema as search path; `:runtime` in it is the runtime role. What it
creates, the runtime role may read and append to; anything more the migration grants itself. An applied file never
changes again: its checksum is kept, and a difference stops `migrate` and shows in readiness.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from importlib import resources
from typing import Final, NamedTuple

import asyncpg
from pydantic import SecretStr

from services.kit import log, scram
from services.kit.calendar import Micros, rfc3339
from services.kit.ddl import Locked, change_briefly, run_outside
from services.kit.postgres import Connection, address_of
from services.kit.settings import Settings

_log = log.get(__name__)
_KIT: Final = "services.kit"
_OUTSIDE: Final = "-- outside a transaction\n"
_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


class Migration(NamedTuple):
    """One file. `checksum` is the SHA-256 of its bytes."""

    package: str
    number: int
    name: str
    checksum: str
    sql: str

    @property
    def is_outside(self) -> bool:
        """Whether it runs outside a transaction."""
        return self.sql.startswith(_OUTSIDE)

    def __str__(self) -> str:
        return f"{self.package}/{self.number:04}_{self.name}"


class MigrationError(Exception):
    """The migrations of the code and those of the database do not fit together."""


def migrations_of(package: str) -> list[Migration]:
    """The kit's migrations and then the package's, in order. MigrationError when numbers are not 1, 2, 3, …"""
    found: list[Migration] = []
    for origin in (_KIT, package) if package != _KIT else (_KIT,):
        directory = resources.files(origin) / "migrations"
        files = sorted(file.name for file in directory.iterdir() if file.name.endswith(".sql"))
        for expected, file in enumerate(files, start=1):
            match = _FILE.fullmatch(file)
            if match is None or int(match[1]) != expected:
                raise MigrationError(f"{origin}/migrations/{file}: expected {expected:04}_name.sql")
            text = (directory / file).read_text("utf-8")
            checksum = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(origin, expected, match[2], checksum, text))
    return found


async def migrate(settings: Settings, package: str) -> list[str]:
    """Creates roles and schema where they are missing and applies what is pending; answers the names applied.

    Connects by `MIGRATION_DATABASE_URL`. Several may run at the same time: one works, the others find nothing to do.
    """
    if settings.migration_database_url is None:
        raise MigrationError("MIGRATION_DATABASE_URL is not set: migrating needs a role that may create roles")
    connection = await asyncpg.connect(address_of(settings, settings.migration_database_url))
    try:
        await _take_turn(connection)
        await _prepare(connection, settings)
        done = []
        for migration in await _pending(connection, settings.service, package):
            await _apply(connection, settings.service, migration)
            done.append(str(migration))
            _log.info("migrated", migration=str(migration))
        return done
    finally:
        await connection.close()


async def _take_turn(connection: Connection) -> None:
    """Waits for the one lock for the cluster's roles and for this schema; it ends with the session.

    It is asked for again and again: a session that waits in the server has a snapshot, for which an index that is being
    built concurrently would wait in turn.
    """
    while True:
        if await connection.fetchval("SELECT pg_try_advisory_lock(hashtext('migrate'))"):
            return
        await asyncio.sleep(0.1)


async def pending(connection: Connection, package: str, *, schema: str) -> list[str]:
    """The migrations that this database has not yet. MigrationError when an applied one has changed since."""
    return [str(migration) for migration in await _pending(connection, schema, package)]


async def ensure_months(connection: Connection, table: str, first: Micros, last: Micros) -> None:
    """Makes the monthly partitions of a table from the month of `first` to that of `last` (UTC), as any role.

    `ensure_month(table, day)` is the owner's function; it makes partitions of the tables that a migration has
    registered (`INSERT INTO monthly_table VALUES ('entry')`) and of no others. Call it outside the batch's
    transaction: the lock it takes on the table is held until the end of its transaction.
    """
    await connection.execute(
        """
        SELECT ensure_month($1, day::date) FROM generate_series(
            date_trunc('month', $2::text::timestamptz AT TIME ZONE 'UTC'),
            $3::text::timestamptz AT TIME ZONE 'UTC', interval '1 month') AS day
        """,
        table,
        # As text: a service may have given its connections codecs of its own.
        rfc3339(first),
        rfc3339(last),
    )


async def _prepare(connection: Connection, settings: Settings) -> None:
    schema = settings.service
    owner, runtime = f"{schema}_owner", schema
    if not re.fullmatch(r"[a-z_]+", schema):
        raise MigrationError(f"not a schema name: {schema!r}")
    async with connection.transaction():
        await _make_roles(connection, owner, runtime, settings.runtime_password)
        await connection.execute(f"""
            DO $$ BEGIN
                IF NOT pg_has_role(current_user, '{owner}', 'SET') THEN
                    EXECUTE format('GRANT {owner} TO %I', current_user);
                END IF;
                EXECUTE format('GRANT CONNECT ON DATABASE %I TO {runtime}', current_database());
                EXECUTE format('ALTER ROLE {runtime} IN DATABASE %I SET search_path = {schema}', current_database());
            END $$;
            CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner};
            GRANT USAGE ON SCHEMA {schema} TO {runtime};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT, INSERT ON TABLES TO {runtime};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {runtime};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT EXECUTE ON FUNCTIONS TO {runtime};
        """)
        await connection.execute(f"""
            SET LOCAL ROLE {owner};
            CREATE TABLE IF NOT EXISTS {schema}.migration (
                package text NOT NULL,
                number integer NOT NULL,
                name text NOT NULL,
                checksum text NOT NULL,
                at timestamptz NOT NULL DEFAULT now(),
                PRIMARY KEY (package, number)
            );
            REVOKE INSERT ON {schema}.migration FROM {runtime};
        """)


async def _make_roles(connection: Connection, owner: str, runtime: str, password: SecretStr | None) -> None:
    """Creates the roles that are missing, and sets the runtime role's password if there is one."""
    for role, options in ((owner, "NOLOGIN"), (runtime, "LOGIN")):
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {role} {options}")
    if password is not None:
        try:
            # In no statement, and so in no log of the server, is there more than what the server would store.
            secret = scram.verifier(password.get_secret_value())
        except ValueError as wrong:
            raise MigrationError(f"RUNTIME_PASSWORD: {wrong}") from None
        await connection.execute(f"ALTER ROLE {runtime} PASSWORD '{secret}'")


async def _pending(connection: Connection, schema: str, package: str) -> list[Migration]:
    exists = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f"{schema}.migration")
    rows = await connection.fetch(f"SELECT package, number, checksum FROM {schema}.migration") if exists else []
    applied = {(row["package"], row["number"]): row["checksum"] for row in rows}
    missing = []
    for migration in migrations_of(package):
        checksum = applied.get((migration.package, migration.number))
        if checksum is None:
            missing.append(migration)
        elif checksum != migration.checksum:
            raise MigrationError(f"{migration} has changed since it was applied: write a new migration instead")
    return missing


async def _apply(connection: Connection, schema: str, migration: Migration) -> None:
    sql = re.sub(r":runtime\b", schema, migration.sql)

    async def change() -> None:
        await connection.execute(f"SET LOCAL ROLE {schema}_owner; SET LOCAL search_path = {schema}, pg_temp")
        if not migration.is_outside:
            await connection.execute(sql)
        await connection.execute(
            "INSERT INTO migration (package, number, name, checksum) VALUES ($1, $2, $3, $4)",
            migration.package,
            migration.number,
            migration.name,
            migration.checksum,
        )

    try:
        if migration.is_outside:
            await connection.execute(f"SET ROLE {schema}_owner; SET search_path = {schema}, pg_temp")
            try:
                await run_outside(connection, str(migration), sql)
            finally:
                await connection.execute("RESET ROLE; RESET search_path")
        await change_briefly(connection, str(migration), change)
    except (asyncpg.PostgresError, Locked) as broken:
        raise MigrationError(f"{migration}: {broken}") from broken
