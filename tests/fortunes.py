"""Many members whose points end on one day, booked by the ledger's own write path."""

from __future__ import annotations

import asyncio
from itertools import islice

from services.kit.calendar import Micros
from services.kit.kafka import Shard, shard_of
from services.kit.migrate import ensure_months
from services.kit.postgres import Pool
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import SignedIn
from services.ledger.executor import Ledger
from services.ledger.inputs import MemberInput

_BATCH = 1_000
_SOURCE = "/shop/backend"


def name_of(number: int) -> str:
    """The member of that number."""
    return f"fortune-{number:07}"


async def grant(pool: Pool, *, shards: int, members: int, at: Micros) -> None:
    """Let so many members each sign in once, at an instant at which that is booked too: each has one lot."""
    ledger = Ledger()
    by_shard: dict[Shard, list[MemberInput]] = {shard: [] for shard in map(Shard, range(shards))}
    for member_id in map(name_of, range(members)):
        arrival = Arrival(digest_of(member_id, _SOURCE, "sign-in"), SignedIn(_SOURCE, "sign-in", at), at)
        by_shard[shard_of(member_id, shards)].append(MemberInput(member_id, arrival))
    async with pool.acquire() as connection:
        for table in ("journal", "entry"):
            await ensure_months(connection, table, at, at)
        for shard, waiting in by_shard.items():
            inputs = iter(waiting)
            while batch := list(islice(inputs, _BATCH)):
                async with connection.transaction():
                    await ledger.book(connection, shard, batch)
                await asyncio.sleep(0)
