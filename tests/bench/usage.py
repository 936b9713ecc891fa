"""What a measurement uses: processor, memory and write-ahead log, by who uses it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import psutil

from deploy.local.processes import Process, family_memory
from tests.bench.system import Service, System

_SAMPLE_S: Final = 0.5


def family_cpu(process: Process) -> dict[int, float]:
    """Seconds of processor (user and system) of a process and all below it, by pid."""
    seconds: dict[int, float] = {}
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process.pid)
        for member in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = member.cpu_times()
                seconds[member.pid] = times.user + times.system
    return seconds


def families_of(system: System, services: Sequence[Service]) -> dict[str, Process]:
    """The first process of each service and server that runs."""
    ours = {service.name: service.process for service in services}
    return ours | {"postgres": system.postgres.process, "kafka": system.kafka.process}


@dataclass(frozen=True, slots=True)
class Usage:
    """Between two moments."""

    cpu_seconds: dict[str, float]
    """By family of processes."""
    wal_bytes: int
    rows_inserted: int
    rows_updated: int
    rows_deleted: int
    transactions: int


@dataclass(frozen=True, slots=True)
class Moment:
    """What had been used up to a moment."""

    cpu: dict[str, dict[int, float]]
    wal: int
    counters: Mapping[str, int]

    @staticmethod
    async def now(connection: asyncpg.Connection[Any], families: Mapping[str, Process]) -> Moment:
        """This moment. The database's counters may lag by a second."""
        row = await connection.fetchrow(
            """
            SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal,
                   xact_commit, tup_inserted, tup_updated, tup_deleted
            FROM pg_stat_database WHERE datname = current_database()
            """
        )
        assert row is not None
        return Moment({name: family_cpu(process) for name, process in families.items()}, row["wal"], dict(row))

    def until(self, later: Moment) -> Usage:
        """What was used between the two."""
        spent = {
            name: sum(seconds - self.cpu[name].get(pid, 0.0) for pid, seconds in later.cpu[name].items())
            for name in later.cpu
        }
        moved = {name: later.counters[name] - self.counters[name] for name in later.counters}
        return Usage(
            spent,
            later.wal - self.wal,
            moved["tup_inserted"],
            moved["tup_updated"],
            moved["tup_deleted"],
            moved["xact_commit"],
        )


@dataclass
class Memory(contextlib.AbstractAsyncContextManager["Memory"]):
    """Samples the memory of families of processes (shared pages count once) and keeps the peaks, in bytes."""

    families: Mapping[str, Process]
    peaks: dict[str, int] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Memory:
        self._task = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _sample(self) -> None:
        while True:
            for name, process in self.families.items():
                self.peaks[name] = max(self.peaks.get(name, 0), family_memory(process))
            await asyncio.sleep(_SAMPLE_S)
