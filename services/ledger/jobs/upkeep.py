"""Sees to what must exist before a record is booked: a published program, and partitions for the months."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from services.kit import clock
from services.kit.clock import Clock
from services.kit.part import State
from services.kit.postgres import Pool, is_unavailable
from services.kit.program import NoProgram
from services.kit.pulse import STILL_SECONDS, Pulse
from services.ledger.executor import Ledger
from services.ledger.store import forget_answers

_log = structlog.get_logger("ledger")

PAUSE_SECONDS: Final = 3600.0
"""How often to look whether the partitions of the months ahead are made."""


class Upkeep:
    """The part `program`: waits for the first program, makes the partitions of months ahead, and deletes old
    answers to commands."""

    name = "program"

    def __init__(self, pool: Pool, ledger: Ledger, shards: int, *, now: Clock = clock.now) -> None:
        self._pool = pool
        self._shards = shards
        self._now = now
        self._ledger = ledger
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse(PAUSE_SECONDS + STILL_SECONDS)
        self._problem = "starting"

    async def first(self) -> object:
        """Returns when records can be booked."""
        return await self._ready.wait()

    async def start(self) -> None:
        """Starts the task; returns at once."""
        self._task = self.pulse.follow(asyncio.create_task(self._run(), name="upkeep"))

    async def stop(self) -> None:
        """Stops the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def state(self) -> State:
        """Whether a program is published and the partitions are made."""
        if self._ready.is_set():
            return State(True, f"program {self._ledger.programs.newest.version}")
        return State(False, self._problem, "publish one: python -m services.ledger publish deploy/program.yaml")

    async def _run(self) -> None:
        while True:
            self.pulse.beat()
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    await self._ledger.programs.read(connection)
                async with self._pool.acquire() as connection:
                    await self._ledger.months.lay(connection, self._now())
                    self._ready.set()
                    await forget_answers(connection, self._shards, self._now())
                pause = PAUSE_SECONDS
            except NoProgram:
                self._problem, pause = "no program is published", 0.5
            except Exception as error:
                if not is_unavailable(error):
                    _log.exception("upkeep failed")
                self._problem, pause = f"database: {type(error).__name__}", 1.0
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._ledger.months.missed.wait()
