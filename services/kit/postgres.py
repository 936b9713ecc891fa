"""The pool of connections, SQL in files, and which errors of the database pass by themselves."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Coroutine
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy
    from pydantic import SecretStr

    from services.kit.settings import Settings

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool

Prepare: TypeAlias = "Callable[[asyncpg.Connection[asyncpg.Record]], Coroutine[Any, Any, None]]"
"""What a service does once to each new connection."""

COMMAND_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 5.0
ATTEMPTS: Final = 8

CONFLICTS: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""The transaction lost a race (40P01, 40001) and left nothing behind: the whole of it may run again."""

DATABASE_ERRORS: Final = (
    OSError,  # refused, reset, no such socket; TimeoutError is one
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InterfaceError,  # the connection is closed
    asyncpg.InternalClientError,  # it is about to close: the server's last message was read, its end was not
    asyncpg.OperatorInterventionError,  # class 57: starting up, shutting down, cancelled
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, disk full
    asyncpg.ObjectNotInPrerequisiteStateError,  # class 55: a lock not to be had
    asyncpg.PostgresSystemError,  # class 58: the server's own I/O
    asyncpg.ReadOnlySQLTransactionError,  # a standby, until the switch is over
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InvalidCatalogNameError,  # the database is being made or restored
    asyncpg.InvalidAuthorizationSpecificationError,  # class 28: the role is being made
)
"""The classes that `is_unavailable` accepts, with some exceptions."""
# asyncpg raises this for an argument that does not fit its type, and derives it from InterfaceError.
_BROKEN_ARGUMENT: Final = (asyncpg.exceptions._base.DataError,)


def is_unavailable(error: BaseException) -> bool:
    """Whether an error comes from the database's condition, so that trying again later may help."""
    if isinstance(error, asyncpg.CheckViolationError):
        # Without a constraint's name: the partition of a month is missing, as after a jump of the clock.
        return error.constraint_name is None
    return isinstance(error, DATABASE_ERRORS) and not isinstance(error, _BROKEN_ARGUMENT)


async def _keep_session(connection: Connection) -> None:
    """No reset on release: nobody leaves session state, and the default costs a round trip (29k/s reads, not 16k/s).

    A connection that is still in a transaction (its holder was cancelled) does not go back: raising ends it.
    """
    if connection.is_in_transaction():
        raise asyncpg.InterfaceError("released inside a transaction")


def new_pool(
    settings: Settings,
    *,
    part: str = "worker",
    size: int | None = None,
    prepare: Prepare | None = None,
    statement_seconds: float | None = None,
) -> Pool:
    """A pool for the service's schema. It connects when it is awaited, and keeps no connection open when idle.

    `prepare` runs once on each new connection (type codecs). A borrower must leave no session state behind: no SET,
    LISTEN, advisory session lock or temporary table.
    """
    return asyncpg.create_pool(
        address_of(settings, settings.database_url),
        min_size=0,
        max_size=size or settings.database_connections,
        init=prepare,
        reset=_keep_session,
        command_timeout=COMMAND_SECONDS,
        timeout=CONNECT_SECONDS,
        statement_cache_size=512,
        max_cached_statement_lifetime=0,
        # The server ends a statement also where its client is gone; otherwise it would work on for nobody.
        server_settings={
            **session_settings(settings, part),
            "statement_timeout": str(int((statement_seconds or COMMAND_SECONDS) * 1000)),
        },
    )


def address_of(settings: Settings, url: SecretStr) -> str:
    """An address of the database with the TLS that the settings ask for; what the address says itself goes before."""
    parts = urlsplit(url.get_secret_value())
    asked = {"sslmode": settings.database_sslmode, "sslrootcert": settings.database_ssl_root_cert}
    said = parse_qs(parts.query)
    added = urlencode({name: str(value) for name, value in asked.items() if value is not None and name not in said})
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, added)))))


def new_reads_pool(settings: Settings, *, prepare: Prepare | None = None) -> Pool:
    """A pool for requests that only read, whose statements end after `read_timeout_seconds` (`is_too_slow`)."""
    size, seconds = settings.read_connections, settings.read_timeout_seconds
    return new_pool(settings, part="reads", size=size, prepare=prepare, statement_seconds=seconds)


def is_too_slow(error: BaseException) -> bool:
    """Whether a statement was ended because it took longer than its session may."""
    return isinstance(error, asyncpg.QueryCanceledError)


def session_settings(settings: Settings, part: str) -> dict[str, str]:
    """What each session of a service sets: its schema, no JIT (short statements pay more than they win), its name.

    Over TCP the server asks a silent client every few seconds whether it is there, and gives one up that does not
    acknowledge for half a minute; by the system's defaults the locks of a lost host would last for two hours.
    """
    return {
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "30000",
        "application_name": f"{settings.service}-{part}",
        "search_path": settings.service,
        "jit": "off",
        "idle_in_transaction_session_timeout": "15s",
    }


async def connect(settings: Settings, *, part: str) -> asyncpg.Connection[asyncpg.Record]:
    """A connection outside the pool, for a caller that needs session state (the relay's advisory locks)."""
    return await asyncpg.connect(
        address_of(settings, settings.database_url),
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        server_settings=session_settings(settings, part),
    )


class Queries:
    """The named statements of one SQL file: `-- name: lots_of` opens a block, `queries.lots_of` is its text.

    A file is read once, at import. A missing name fails when it is used, so name in `require` what the module uses.
    """

    _NAME = re.compile(r"^--\s*name:\s*(\w+)\s*$", re.MULTILINE)

    def __init__(self, source: str, statements: dict[str, str]) -> None:
        self._source = source
        self._statements = statements

    @classmethod
    def load(cls, package: str, path: str, *, require: tuple[str, ...] = ()) -> Queries:
        """Reads `path` of a package. LookupError when a required name is missing, ValueError when one stands twice."""
        text = (resources.files(package) / path).read_text("utf-8")
        parts = cls._NAME.split(text)
        statements: dict[str, str] = {}
        for name, body in zip(parts[1::2], parts[2::2], strict=True):
            if name in statements:
                raise ValueError(f"{package}/{path}: statement {name!r} stands twice")
            statements[name] = body.strip().removesuffix(";")
        loaded = cls(f"{package}/{path}", statements)
        for name in require:
            loaded[name]
        return loaded

    def __getitem__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise LookupError(f"{self._source} has no statement {name!r}") from None

    def __getattr__(self, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def names(self) -> frozenset[str]:
        """All names of the file."""
        return frozenset(self._statements)


async def backoff(attempt: int, *, max_seconds: float = 2.0) -> None:
    """Waits before attempt number `attempt + 1`: longer each time, and for a random time, so that attempts spread."""
    await asyncio.sleep(random.uniform(0.2, 1.0) * min(max_seconds, 0.005 * 2.0**attempt))
