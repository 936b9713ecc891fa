"""O7 on the real store: however a list of inputs is cut into batches, the same rows are written."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import asyncpg

from deploy.shop.day import shop_day
from schemas.events import parse_event
from services.kit.calendar import MICROS_PER_SECOND, later, parse_rfc3339
from services.kit.kafka import Shard
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import TierHistoryReceived
from services.ledger.events.inbound import input_of
from services.ledger.inputs import MemberInput
from tests.conftest import MakeDatabase
from tests.integration.ledger_support import ledger_on

LAST_DAY = date(2026, 3, 20)
TABLES = ("journal", "entry", "lot", "orders", "order_lines", "fact", "account")


def inputs() -> list[MemberInput]:
    """Two weeks of a shop with a tier told now and then, each arriving some time after it happened."""
    draw = random.Random(7)
    end = parse_rfc3339("2026-03-21T00:00:00+08:00")
    all_inputs = []
    for event in shop_day(seed=7, members=15, today=LAST_DAY, now=end):
        input_ = input_of(parse_event(event.body), "CNY", 2)
        if input_ is None:
            continue
        now = later(event.at, draw.randrange(3600) * MICROS_PER_SECOND)
        all_inputs.append(
            MemberInput(event.member_id, Arrival(digest_of(event.member_id, input_.source, input_.id), input_, now))
        )
    for place in range(len(all_inputs), 0, -40):
        member_id, now = all_inputs[place - 1].member_id, all_inputs[place - 1].arrival.now
        since = later(now, -86_400 * MICROS_PER_SECOND)
        tier = TierHistoryReceived("/loyalty/tiering", f"{member_id}:{place}:0", since, (place, 0), ((since, "vip"),))
        all_inputs.insert(place, MemberInput(member_id, Arrival(digest_of(member_id, tier.source, tier.id), tier, now)))
    return all_inputs


def cuts(all_inputs: Sequence[MemberInput]) -> dict[str, list[Sequence[MemberInput]]]:
    """The same list one by one, at random, and whole."""
    draw = random.Random(8)
    places = [0, *sorted(draw.sample(range(1, len(all_inputs)), len(all_inputs) // 12)), len(all_inputs)]
    return {
        "one by one": [[each] for each in all_inputs],
        "at random": [all_inputs[start:end] for start, end in itertools.pairwise(places)],
        "whole": [all_inputs],
    }


async def test_O7_any_cut_into_batches_writes_the_same_rows_and_chain_heads(make_database: MakeDatabase) -> None:
    all_inputs = inputs()
    assert len(all_inputs) > 150
    written = {}
    for name, batches in cuts(all_inputs).items():
        dsn = make_database()
        async with ledger_on(dsn, shards=1) as ledger:
            for batch in batches:
                async with ledger.pool.acquire() as connection, connection.transaction():
                    await ledger.ledger.book(connection, Shard(0), batch)
        written[name] = await rows(dsn)
    for table in (*TABLES, "outbox"):
        assert written["at random"][table] == written["one by one"][table], table
        assert written["whole"][table] == written["one by one"][table], table
    assert len(written["whole"]["journal"]) > 150


async def rows(dsn: str) -> dict[str, list[Any]]:
    """Every table's rows, with the member's id for the account's number: that one goes by order of opening."""
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "ledger"})
    try:
        found = {table: list(_named(await connection.fetch(_query(table)))) for table in TABLES}
        # Facts of different members may go out in another order, those of one member never do.
        outbox = await connection.fetch(
            "SELECT key, row_number() OVER (PARTITION BY key ORDER BY id) AS n, topic, value, headers "
            "FROM outbox WHERE topic <> 'loyalty.program.v1' ORDER BY key, n"
        )
        return found | {"outbox": list(map(tuple, outbox))}
    finally:
        await connection.close()


def _query(table: str) -> str:
    return f"SELECT member_id, t.* FROM {table} AS t JOIN identity USING (shard, account)"


def _named(records: Sequence[asyncpg.Record]) -> Iterator[tuple[Any, ...]]:
    yield from sorted(tuple(v for k, v in record.items() if k != "account") for record in records)
