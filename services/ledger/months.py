"""Makes the monthly partitions of the journal and the entries, ahead of time and where a batch has missed one.

Records bring their own times: a topic that is read again from its beginning has events of months long past, and a
clock may jump. A batch that finds no partition fails as if the database were unavailable (`is_unavailable`). It is
tried again, and by then the partition is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import asyncpg

from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.kit.event_time import MAX_EVENT_AGE_DAYS
from services.kit.migrate import ensure_months
from services.kit.postgres import Connection
from services.ledger.domain.batch import Fold

_DAY: Final = 86_400 * MICROS_PER_SECOND
_AHEAD: Final = 62 * _DAY


class Months:
    """Notes the months that batches have missed, and makes their partitions (`lay`, outside of their transactions)."""

    def __init__(self) -> None:
        self.missed = asyncio.Event()
        """Set while a batch waits for a month."""
        self._booking_times: set[Micros] = set()
        """The entries are partitioned by booking time."""
        self._business_times: set[Micros] = set()
        """The journal is partitioned by business time."""

    @contextmanager
    def needed_by(self, folds: Sequence[Fold]) -> Iterator[None]:
        """A context in which to write a batch. If one of its months is missing, all months of the batch are noted."""
        try:
            yield
        except asyncpg.CheckViolationError:
            rows = [row for fold in folds for row in fold.rows]
            self._booking_times.update(row.now for row in rows)
            self._business_times.update(row.arrival.input_.at for row in rows)
            self.missed.set()
            raise

    async def lay(self, connection: Connection, now: Micros) -> None:
        """Make the partitions of the next two months and those that were missed."""
        self.missed.clear()
        until = Micros(now + _AHEAD)
        booking_times, business_times = frozenset(self._booking_times), frozenset(self._business_times)
        await ensure_months(connection, "journal", Micros(now - MAX_EVENT_AGE_DAYS * _DAY), until)
        await ensure_months(connection, "entry", now, until)
        for table, instants in (("journal", business_times), ("entry", booking_times)):
            if instants:
                await ensure_months(connection, table, min(instants), max(instants))
        self._booking_times -= booking_times
        self._business_times -= business_times
