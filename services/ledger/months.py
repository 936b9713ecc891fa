"""The months that the journal and the entries have a partition for: laid ahead, and where a batch has missed one.

Records bring their own times: a topic that is read again from its beginning is of months long past, and a clock may
jump. A batch that finds no partition is tried again (`is_unavailable`), by then it is there.
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
    """What was missed, and by whom it is laid: `lay` belongs outside of a batch's transaction."""

    def __init__(self) -> None:
        self.missed = asyncio.Event()
        """Set while a batch waits for a month."""
        self._booked: set[Micros] = set()
        self._happened: set[Micros] = set()

    @contextmanager
    def needed_by(self, folds: Sequence[Fold]) -> Iterator[None]:
        """Write a batch in here: if one of its months is not there, all that it needs are noted."""
        try:
            yield
        except asyncpg.CheckViolationError:
            rows = [row for fold in folds for row in fold.rows]
            self._booked.update(row.now for row in rows)
            self._happened.update(row.arrival.input_.at for row in rows)
            self.missed.set()
            raise

    async def lay(self, connection: Connection, now: Micros) -> None:
        """Make the partitions that events of the next two months need, and those that were missed."""
        self.missed.clear()
        booked, happened = frozenset(self._booked), frozenset(self._happened)
        await ensure_months(connection, "journal", now - MAX_EVENT_AGE_DAYS * _DAY, now + _AHEAD)
        await ensure_months(connection, "entry", now, now + _AHEAD)
        for table, instants in (("journal", happened), ("entry", booked)):
            if instants:
                await ensure_months(connection, table, min(instants), max(instants))
        self._booked -= booked
        self._happened -= happened
