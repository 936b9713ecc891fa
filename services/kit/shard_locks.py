"""Which shards a relay's session holds: advisory locks, which one session at a time can have.

A session ends with its process, and its locks with it. A host that is lost, or a process that hangs, ends nothing: its
session would keep the locks until TCP gives up, which takes hours. So a session that asks nothing for `LEASE_SECONDS`
has lost its lease, for a relay that holds a shard asks for its rows several times a second, and waits at most half a
minute for the brokers. Who wants its shards then ends that session. What it may still send if it comes back repeats
what was sent, and consumers drop what is not newer than what they have.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from services.kit import log, metrics
from services.kit.kafka import Shard
from services.kit.postgres import Connection, Queries

_log = log.get(__name__)
_SQL: Final = Queries.load("services.kit", "sql/outbox.sql", require=("lock", "unlock", "holders", "end_sessions"))

LEASE_SECONDS: Final = 45.0
"""A session that asks nothing for so long loses its shards; more than a relay's longest wait for the brokers."""
ACQUIRE_SECONDS: Final = 2.0
"""How often a relay tries to get shards that another session holds."""
RELEASE_SECONDS: Final = 1.0
"""For so long a relay still sends the rows of a shard that is no longer its own, before it releases the shard."""
SILENT_SECONDS: Final = 5.0
"""A holder that asks nothing for so long is told to people; it polls several times a second when all is well."""


class Holder(NamedTuple):
    """A session that holds a shard. `silent` are the seconds since it last asked anything."""

    shard: int
    pid: int
    name: str
    host: str
    silent: float


def lock_space(service: str) -> int:
    """The first key of the advisory locks on a service's shards; the second is the shard."""
    return zlib.crc32(f"outbox:{service}".encode()) - 2**31


async def holders(connection: Connection, service: str) -> list[Holder]:
    """Who holds which shard of a service, by the server's own tables of locks and sessions."""
    return [Holder(*row) for row in await connection.fetch(_SQL.holders, lock_space(service))]


class ShardLocks:
    """The shards that one relay wants, and those that its session holds."""

    def __init__(self, service: str, wanted: frozenset[Shard]) -> None:
        self._service = service
        self._space = lock_space(service)
        self._wanted = wanted
        self._wanted_since = 0.0
        self._tried_at = 0.0
        self.held: set[int] = set()
        """What the session holds now."""
        self.trouble = ""
        """Which shards it wants and cannot have, as their holder says nothing; empty when all is well."""

    def want(self, shards: frozenset[Shard]) -> None:
        """Says which shards `follow` is to get; it releases the others."""
        self._wanted = shards
        self._wanted_since = time.monotonic()
        self._tried_at = 0.0

    def forget(self) -> None:
        """Says that the session has ended, and with it all its locks."""
        self.held.clear()
        self._tried_at = 0.0
        self.trouble = ""

    async def follow(self, session: Connection, *, idle: bool) -> None:
        """Releases the locks of shards that are not wanted any more, and acquires those of shards that are.

        This runs between rounds, when nothing is in flight. A shard that is to be released first has its rows sent
        (`idle`: none wait), as far as `RELEASE_SECONDS` allow.
        """
        surplus = self.held - self._wanted
        if surplus and (idle or time.monotonic() - self._wanted_since > RELEASE_SECONDS):
            await session.execute(_SQL.unlock, self._space, list(surplus))
            self.held -= surplus
        missing = self._wanted - self.held
        if missing and time.monotonic() - self._tried_at > ACQUIRE_SECONDS:
            self._tried_at = time.monotonic()
            rows = await session.fetch(_SQL.lock, self._space, sorted(missing))
            self.held.update(row["s"] for row in rows)
            missing = self._wanted - self.held
            silent = await self._silent_holders(session, missing) if missing else []
            self.trouble = _told(silent)
            await self._end(session, [holder for holder in silent if holder.silent > LEASE_SECONDS])
        elif not missing:
            self.trouble = ""

    async def _silent_holders(self, session: Connection, missing: frozenset[int]) -> list[Holder]:
        found = await holders(session, self._service)
        return [holder for holder in found if holder.shard in missing and holder.silent > SILENT_SECONDS]

    async def _end(self, session: Connection, lost: Sequence[Holder]) -> None:
        """Ends the sessions whose lease is over; their shards are had at the next try."""
        if not lost:
            return
        pids = sorted({holder.pid for holder in lost})
        await session.execute(_SQL.end_sessions, pids, LEASE_SECONDS)
        metrics.count("alarms_total", kind="relay_lost")
        shards = sorted(holder.shard for holder in lost)
        _log.error("relay_lost", shards=shards, pids=pids, host=lost[0].host, silent_seconds=round(lost[0].silent))


def _told(silent: Sequence[Holder]) -> str:
    if not silent:
        return ""
    shards = ", ".join(str(shard) for shard in sorted(holder.shard for holder in silent))
    first = max(silent, key=lambda holder: holder.silent)
    return (
        f"shards {shards} are held by the session {first.pid} ({first.name} on {first.host}), which has asked nothing "
        f"for {first.silent:.0f} s"
    )
