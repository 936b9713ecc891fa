"""Books what is due on accounts for which no event or command comes in, as inputs of the one write path (T8)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from services.kit import clock
from services.kit.calendar import Micros
from services.kit.clock import Clock
from services.kit.executor import Executor
from services.kit.kafka import Shard
from services.kit.postgres import Pool
from services.kit.shard_worker import COURTEOUS_BATCH
from services.kit.sweeper import Pass
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import DueTimer
from services.ledger.inputs import MemberInput
from services.ledger.store import SQL

SOURCE = "/loyalty/ledger/timer"


def passes_in_sequence(*passes: Pass) -> Pass:
    """One pass that makes several over a shard, one after the other; it answers the sum of what they found."""

    async def sweep(shard: Shard) -> int:
        return sum([await each(shard) for each in passes])

    return sweep


def due_pass(pool: Pool, executor: Executor[Any, Any], limit: int, *, now: Clock = clock.now) -> Pass:
    """A pass over one shard: books the accounts whose `next_due` has come, earliest first; answers how many it found.

    A batch has at most `limit` of them. While commands or records come in, the batch is small, and the pass then rests
    for as long as the batch took: commands and records go first. A timer's id is made of the account's version and of
    the due time, so two sweepers, or one that was killed and started again, book it once.
    """

    async def sweep(shard: Shard) -> int:
        present, began = now(), time.monotonic()
        max_members = min(limit, COURTEOUS_BATCH) if executor.is_busy else limit
        async with pool.acquire() as connection:
            rows = await connection.fetch(SQL["due_members"], shard, present, max_members)
        timers = [_timer(row["member_id"], row["version"], row["next_due"], present) for row in rows]
        await asyncio.gather(*(executor.submit(shard, timer, background=True) for timer in timers))
        if timers and executor.is_busy:
            await asyncio.sleep(time.monotonic() - began)
        return len(timers)

    return sweep


def _timer(member_id: str, version: int, due: Micros, now: Micros) -> MemberInput:
    event_id = f"due:{due}:{version}"
    return MemberInput(member_id, Arrival(digest_of(member_id, SOURCE, event_id), DueTimer(SOURCE, event_id, due), now))
