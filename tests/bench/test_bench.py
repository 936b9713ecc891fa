"""The benchmark's own arithmetic; what it measures it proves itself, run by run."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import orjson
import pytest
from rich.console import Console

from services.kit.calendar import NEVER
from services.kit.kafka import shard_of
from tests.bench import report, workload, yardstick
from tests.bench.booking import Batch, Change, Copy, batches_of
from tests.bench.drain import steady
from tests.bench.http_load import Client
from tests.bench.report import Figure
from tests.bench.run import Run
from tests.bench.system import system


def test_the_imitation_has_the_mix_of_a_shops_year(tmp_path: Path) -> None:
    work = workload.prepare(tmp_path, events=3_000, file=None)
    assert len(work.events) == 3_000
    kinds: Counter[str] = Counter()
    lines = []
    for event in work.events:
        body = orjson.loads(event.body)
        kinds[body["type"].split(".")[2]] += 1
        if body["type"] == "commerce.order.paid.v1":
            lines.append(len(body["data"]["lines"]))
    assert set(kinds) == {"paid", "shipped", "completed", "refunded"}
    assert kinds["shipped"] / kinds["paid"] == pytest.approx(1, abs=0.02)
    assert 0.03 < kinds["refunded"] / 3_000 < 0.12
    assert 18 < sum(lines) / len(lines) < 24
    assert max(lines) > 80


def test_records_are_on_their_members_shards_in_order(tmp_path: Path) -> None:
    work = workload.prepare(tmp_path, events=600, file=None)
    placed = work.records(16)
    assert sum(map(len, placed.values())) == 600
    for shard, records in placed.items():
        assert [record.offset for record in records] == list(range(len(records)))
        assert all(shard_of((record.key or b"").decode(), 16) == shard for record in records)
    batches = batches_of(placed, size=10)
    assert sum(len(batch) for _, batch in batches) == 600
    assert max(len(batch) for _, batch in batches) == 10


def test_plain_sql_writes_the_ledger_that_was_recorded(temporary: Path) -> None:
    work = workload.prepare(temporary / "workload", events=300, file=None)
    with system(temporary / "system", lambda _: None, broker=False) as ours:
        batches, costs = Run(ours, work, rounds=1, console=Console(quiet=True)).recorded
    assert sum(batch.events for batch in batches) == 300
    assert {"open_accounts", "write", "COPY journal"} <= costs.keys()


def test_each_connection_writes_whole_shards_in_order() -> None:
    batches = [Batch(shard, 10 + shard, []) for _ in range(3) for shard in range(16)]
    shares = yardstick.share(batches, 3)
    assert sorted(batch.shard for share in shares for batch in share) == sorted(batch.shard for batch in batches)
    owners = [{batch.shard for batch in share} for share in shares]
    assert sum(map(len, owners)) == len(set.union(*owners)) == 16
    loads = [sum(batch.events for batch in share) for share in shares]
    assert max(loads) < 1.25 * min(loads)


def test_values_take_the_drivers_own_forms() -> None:
    types = {
        "entry": {"booked_at": "timestamp with time zone", "lot_day": "date", "points": "bigint"},
        "lot_change": {"account": "bigint", "day": "date"},
    }
    copy = yardstick.plain_write(Copy("entry", ("booked_at", "lot_day"), [(1_000_000, NEVER), (0, 0)]), types)
    assert isinstance(copy, Copy)
    assert copy.rows == [
        (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), date.max),
        (datetime(1970, 1, 1, tzinfo=UTC), date.min),
    ]
    statement = "SELECT $1, c.day FROM unnest($2::lot_change[]) AS c, unnest($3::timestamptz[]) AS t"
    change = yardstick.plain_write(Change("x", statement, (5, [(1, 719_163)], [0])), types)
    assert isinstance(change, Change)
    assert change.arguments == (5, [(1, date(1970, 1, 1))], [datetime(1970, 1, 1, tzinfo=UTC)])


def test_a_rate_stands_beside_the_median_of_its_yardstick(tmp_path: Path) -> None:
    figure = Figure.beside(
        "order_events",
        [900.0, 1_000.0, 5_000.0],
        "events/s",
        yardstick="plain SQL",
        yardstick_samples=[2_000.0, 2_500.0, 1.0],
        least=0.40,
    )
    assert (figure.value, figure.yardstick_value, figure.ratio, figure.met) == (1_000.0, 2_000.0, 0.5, True)
    path = tmp_path / "build" / "bench.json"
    report.write([figure, Figure.below("publish_to_readable_p99", 301.0, "ms", 300.0)], path)
    first, second = msgspec.json.decode(path.read_bytes())
    assert list(first) == ["name", "value", "unit", "yardstick", "yardstick_value", "ratio", "samples"]
    assert (second["value"], second["yardstick_value"]) == (301.0, None)


def test_the_steady_rate_leaves_out_a_slow_end() -> None:
    even = [(float(second), 100 * second) for second in range(1, 100)]
    assert steady(even) == pytest.approx(100)
    assert steady([*even, (110.0, 9_950)]) == pytest.approx(100)


async def test_the_client_puts_answers_together_from_parts() -> None:
    client = Client()
    requests: list[bytes] = []

    class Wire(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            requests.append(bytes(data))

    client.connection_made(Wire())
    asking = asyncio.ensure_future(client.send(b"GET"))
    await asyncio.sleep(0)
    for part in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 4\r\n\r\nab", b"cd"):
        assert not asking.done()
        client.data_received(part)
    assert await asking == (200, b"abcd")
    assert requests == [b"GET"]
