"""Plain SQL migrations: `NNNN_name.sql` in each service's `migrations/`, each in a transaction, under a lock.

The kit's own migrations (`consumer_offset`, `outbox`, `redriven`, `ensure_month`) run first, in the same schema.
"""

from __future__ import annotations

from services.kit.calendar import Micros
from services.kit.postgres import Connection
from services.kit.settings import Settings


async def migrate(settings: Settings, package: str) -> list[str]:
    """Creates roles and schema and applies what is pending; answers the names applied."""
    raise NotImplementedError


async def pending(conn: Connection, package: str) -> list[str]:
    """The migrations of a package (and the kit's) that this database has not yet."""
    raise NotImplementedError


async def ensure_months(conn: Connection, table: str, first: Micros, last: Micros) -> None:
    """Makes the monthly partitions of a table from the month of `first` to that of `last` (UTC).

    Works for the runtime role: `ensure_month(table, month)` is the owner's function, and makes partitions of
    tables that a migration has registered by `INSERT INTO monthly_table VALUES ('entry')` and of no others.
    Call it outside the batch's transaction.
    """
