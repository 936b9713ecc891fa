"""Books what is due on accounts for which no event or command comes in, as inputs of the one write path (T8).

A timer that fails is tried again later and later, and the pass goes past its account: what is wrong with one account
must not keep the others from what is due to them.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from services.kit import clock, log, metrics
from services.kit.calendar import Micros
from services.kit.clock import Clock
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.postgres import Pool, is_unavailable
from services.kit.shard_worker import COURTEOUS_BATCH
from services.kit.sweeper import Pass
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import DueTimer
from services.ledger.horizon import Limit, without_limit
from services.ledger.inputs import MemberInput
from services.ledger.jobs.submitting import submit_all
from services.ledger.store import SQL

SOURCE: Final = "/loyalty/ledger/timer"
FIRST_WAIT: Final = 1.0
"""Seconds until a timer that failed is tried again; twice as long after each further time."""
MAX_WAIT: Final = 3600.0
MAX_FAILING: Final = 10_000
"""Failing accounts of one shard that are gone past. With more nothing new is tried: it is no matter of accounts."""
MAX_SHOWN: Final = 5
FORGET_SECONDS: Final = 60.0
"""What failed in a shard that was not swept for so long is forgotten."""
_log = log.get(__name__)


def passes_in_sequence(*passes: Pass) -> Pass:
    """One pass that makes several over a shard, one after the other; it answers the sum of what they found. One that
    raises keeps none of the others from their turn, unless the database is away."""

    async def sweep(shard: Shard) -> int:
        found = 0
        failed: Exception | None = None
        for each in passes:
            try:
                found += await each(shard)
            except Exception as error:
                if is_unavailable(error):
                    raise
                failed = failed or error
        if failed is not None:
            raise failed
        return found

    return sweep


@dataclass(slots=True)
class _Failing:
    """An account whose timer fails: the timer, how often it did, why, and when it is tried again (monotonic)."""

    timer: tuple[int, Micros]
    times: int
    why: str
    again_at: float


class DueAccounts:
    """A pass over one shard: books the accounts whose `next_due` has come, earliest first; answers how many it got
    through.

    A batch has at most `limit` of them. While commands or records come in, the batch is small, and the pass then rests
    for as long as the batch took: commands and records go first. A timer's id is made of the account's version and of
    the due time, so two sweepers, or one that was killed and started again, book it once.

    A timer fails if it raises, and also if its account is as due afterwards as it was before.
    """

    def __init__(
        self,
        pool: Pool,
        executor: Executor[Any, Any],
        limit: int,
        *,
        now: Clock = clock.now,
        until: Limit = without_limit,
    ) -> None:
        """`until` says how far the due work of a shard may go: local day by local day (C2)."""
        self._pool = pool
        self._executor = executor
        self._limit = limit
        self._now = now
        self._until = until
        self._failing: defaultdict[Shard, dict[int, _Failing]] = defaultdict(dict)
        self._booked: defaultdict[Shard, dict[int, tuple[int, Micros]]] = defaultdict(dict)
        self._swept_at: dict[Shard, float] = {}

    async def __call__(self, shard: Shard) -> int:
        """One page of one shard. An account that fails for the first time counts too: those behind it wait."""
        present, began = self._until(shard, self._now()), time.monotonic()
        self._swept_at[shard] = began
        limit = min(self._limit, COURTEOUS_BATCH) if self._executor.is_busy else self._limit
        rows = await self._page(shard, present, limit)
        if not rows:
            return 0
        timers = [_timer(row["member_id"], row["version"], row["next_due"], present) for row in rows]
        failures = await submit_all(self._executor, shard, timers)
        moved = 0
        for row, failure in zip(rows, failures, strict=True):
            if failure is None:
                moved += 1
                self._booked[shard][row["account"]] = (row["version"], row["next_due"])
            else:
                moved += self._note_failure(shard, row, type(failure).__name__)
        if self._executor.is_busy:
            await asyncio.sleep(time.monotonic() - began)
        return moved

    def alarms(self) -> list[str]:
        """What is due and cannot be booked, in words."""
        for shard in [shard for shard, at in self._swept_at.items() if time.monotonic() - at > FORGET_SECONDS]:
            del self._swept_at[shard]  # it is another worker's now
            self._failing.pop(shard, None)
        failing = [(shard, account, one) for shard, each in self._failing.items() for account, one in each.items()]
        metrics.gauge("failing_accounts", len(failing))
        if not failing:
            return []
        shown = [f"shard {shard} account {account}, {one.why}" for shard, account, one in failing[:MAX_SHOWN]]
        return [f"what is due on {len(failing)} accounts cannot be booked ({'; '.join(shown)})"]

    async def _page(self, shard: Shard, present: Micros, limit: int) -> Sequence[asyncpg.Record]:
        """The next accounts to try: those that are due, without the failing ones whose wait is not over."""
        failing = self._failing[shard]
        limit = limit if len(failing) < MAX_FAILING else 0
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(SQL["due_members"], shard, present, limit + len(failing))
        if len(rows) < limit + len(failing):  # these are all that are due: the others have been settled
            due = {row["account"] for row in rows}
            for account in failing.keys() - due:
                del failing[account]
        booked, self._booked[shard] = self._booked[shard], {}
        for row in rows:
            if booked.get(row["account"]) == (row["version"], row["next_due"]):
                self._note_failure(shard, row, "its timer was booked and it is as due as before")
        now = time.monotonic()
        ready = [row for row in rows if _is_ready(row, failing.get(row["account"]), now)]
        return ready[: max(limit, 1)]

    def _note_failure(self, shard: Shard, row: asyncpg.Record, why: str) -> bool:
        """Lets the account wait. Answers whether it has not failed before."""
        failing = self._failing[shard]
        account, timer = row["account"], (row["version"], row["next_due"])
        before = failing.get(account)
        times = before.times + 1 if before is not None and before.timer == timer else 1
        failing[account] = _Failing(
            timer, times, why, time.monotonic() + min(MAX_WAIT, FIRST_WAIT * 2 ** min(times - 1, 20))
        )
        if before is not None:
            return False
        metrics.count("alarms_total", kind="timer_failed")
        _log.error("timer_failed", shard=shard, account=account, error=why)
        return True


def _is_ready(row: asyncpg.Record, failing: _Failing | None, now: float) -> bool:
    return failing is None or failing.again_at <= now or failing.timer != (row["version"], row["next_due"])


def _timer(member_id: str, version: int, due: Micros, now: Micros) -> MemberInput:
    event_id = f"due:{due}:{version}"
    return MemberInput(member_id, Arrival(digest_of(member_id, SOURCE, event_id), DueTimer(SOURCE, event_id, due), now))
