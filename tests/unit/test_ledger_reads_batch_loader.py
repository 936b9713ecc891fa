"""The batch loader without a database: reads that arrive together share a query."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.ledger.reads.batch_loader import BatchLoader


async def test_reads_that_arrive_together_share_queries() -> None:
    asked: list[list[int]] = []

    async def read_many(keys: Sequence[int]) -> list[int]:
        asked.append(list(keys))
        await asyncio.sleep(0.001)
        return [key * 10 for key in keys]

    reads = BatchLoader(read_many, max_queries=1, max_keys=8)
    answers = await asyncio.gather(*(reads.read(key) for key in range(20)))
    assert answers == [key * 10 for key in range(20)]
    assert [len(keys) for keys in asked] == [8, 8, 4]
    assert await reads.read(7) == 70, "and again, when all is quiet"


async def test_a_query_that_fails_fails_its_own_reads_alone() -> None:
    async def read_many(keys: Sequence[int]) -> list[int]:
        await asyncio.sleep(0)
        if 1 in keys:
            raise OSError("away")
        return list(keys)

    reads = BatchLoader(read_many, max_queries=1, max_keys=2)
    answers = await asyncio.gather(*(reads.read(key) for key in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [OSError, OSError, int, int]


async def test_a_reader_who_went_away_disturbs_nobody() -> None:
    gate = asyncio.Event()

    async def read_many(keys: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(keys)

    reads = BatchLoader(read_many)
    impatient, patient = asyncio.create_task(reads.read(1)), asyncio.create_task(reads.read(2))
    await asyncio.sleep(0)
    impatient.cancel()
    gate.set()
    assert await patient == 2
