"""Work that falls due by itself: a pass over each shard, again and again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from services.kit import log, metrics
from services.kit.executor import ClockOff
from services.kit.kafka import Shard
from services.kit.part import ClockCheck, Shards, State
from services.kit.postgres import is_unavailable
from services.kit.pulse import Pulse
from services.kit.settings import Settings

_log = log.get(__name__)

Pass = Callable[[Shard], Awaitable[int]]
"""Books what is due in one shard, up to a bound; answers how many it found (0: nothing more is due)."""

STOP_SECONDS: Final = 5.0
REMEDY_ALARMS: Final = "Look at the log for the cause; it is tried again and again, and everything else goes on."


class Sweeper:
    """The part `sweeper`: runs a pass over its shards every few seconds, and at once again where it found work."""

    name = "sweeper"

    def __init__(
        self,
        settings: Settings,
        sweep: Pass,
        *,
        every_seconds: float = 1.0,
        shards: Shards | None = None,
        alarms: Callable[[], Sequence[str]] = tuple,
        clock: ClockCheck | None = None,
    ) -> None:
        """Sweeps the shards that this process owns, or all of them where `shards` is None. Several sweepers of one
        shard only cost work: what one has booked, the next does not find. `alarms` says what the passes cannot book,
        although they go through. While `clock` is off, nothing is swept (C1)."""
        self._alarms = alarms
        self._sweep = sweep
        self._every_seconds = every_seconds
        self._owned = shards
        self._clock = clock
        self._all = frozenset(map(Shard, range(settings.shards)))
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.pulse = Pulse()
        self._trouble = ""
        self._last = 0.0

    async def start(self) -> None:
        """Begins to sweep; returns at once."""
        self._last = time.monotonic()
        self._task = self.pulse.follow(asyncio.create_task(self._run(), name="sweeper"))

    async def stop(self) -> None:
        """Lets the pass in flight finish."""
        self._stopping.set()
        if self._task is not None:
            _, running = await asyncio.wait([self._task], timeout=STOP_SECONDS)
            for task in running:
                task.cancel()
                await asyncio.wait([task])

    def state(self) -> State:
        """Whether the last pass went through, and got through with all that it found."""
        figures = {"seconds_since_last_sweep": round(time.monotonic() - self._last, 1)}
        if self._trouble:
            remedy = "What is due is booked once the cause is gone; balances are right meanwhile."
            return State(False, self._trouble, remedy, figures)
        if alarms := self._alarms():
            return State(False, "; ".join(alarms), REMEDY_ALARMS, figures)
        return State(True, figures=figures)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            shards = list(self._owned.shards if self._owned is not None else self._all)
            self.pulse.beat()
            random.shuffle(shards)  # two sweepers of all shards then seldom work on the same one
            found, trouble = await self._sweep_all(shards)
            self._trouble = trouble
            if not trouble:
                self._last = time.monotonic()
            metrics.count("swept_total", found)
            if not found or trouble:
                await self._rest()

    async def _sweep_all(self, shards: Sequence[Shard]) -> tuple[int, str]:
        """A pass over each shard; how many were found, and what went wrong. A shard whose pass raises keeps no other
        from its turn, unless the database is away."""
        found, trouble = 0, ""
        try:
            if self._clock is not None:
                self._clock.check()
        except ClockOff as off:
            _log.warning("sweep_waits", why=str(off))
            return 0, str(off)
        for shard in shards:
            if self._stopping.is_set():
                break
            try:
                found += await self._sweep(shard)
                self.pulse.beat()
            except Exception as error:
                trouble = f"{type(error).__name__}: {error}"
                _log.warning("sweep_failed", shard=shard, error=repr(error))
                if is_unavailable(error):
                    return found, f"database: {trouble}"
        return found, trouble

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._every_seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
