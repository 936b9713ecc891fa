"""`big_member`: what reads of a member with a million entries take, and what a command takes beside them.

The member's rows are the ledger's own, booked by its write path, and given again and again over the last eleven months:
the same orders under later versions. Only the hashes of the chain are not right.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import httpx
import uvloop
from rich.console import Console

from deploy.local.processes import wait_until
from schemas.topics import SHARDS
from services.kit import clock
from services.kit.calendar import later
from services.kit.kafka import Shard, shard_of
from services.ledger.jobs.milestones import Milestones
from services.ledger.reads.history import HOT_KINDS
from tests.bench import booking
from tests.bench.filling import FIRST, fill, lay_months
from tests.bench.report import Figure
from tests.bench.run import DIRECTORY, say
from tests.bench.system import Database, system

ENTRIES: Final = 1_000_000
QUICK_ENTRIES: Final = 200_000
BAR_MS: Final = 50.0
TIMES: Final = 15
BESIDE: Final = 12
"""Balances of the past that are asked for at once, beside the commands."""
DAYS: Final = 330
_DAY: Final = 86_400_000_000

_GROW: Final = """
CREATE TEMP TABLE old_entry AS SELECT * FROM entry;
CREATE TEMP TABLE old_journal AS SELECT * FROM journal;
DELETE FROM entry; DELETE FROM journal; DELETE FROM lot;
CREATE TEMP TABLE span AS
SELECT max(version) AS versions, {copies} AS copies, now() - interval '{days} days' AS since FROM old_journal;
INSERT INTO entry (shard, account, version, line, booked_at, day, debit, credit, points, lot_day, lot_parent, rule, ref,
                   program)
SELECT shard, account, version + k * versions, line, booked, booked::date, debit, credit, points,
       CASE WHEN isfinite(lot_day) THEN booked::date + 365 ELSE lot_day END, lot_parent, rule, ref || '-' || k, program
FROM old_entry CROSS JOIN span CROSS JOIN generate_series(0, copies - 1) AS k
CROSS JOIN LATERAL (
    SELECT since + interval '{days} days' * ((version + k * versions)::float8 / (versions * copies + 1)) AS booked
) AS at;
INSERT INTO journal (shard, digest, at, account, version, now, type, outcome, input, record, head, format)
SELECT shard, decode(md5((version + k * versions)::text), 'hex'), booked, account, version + k * versions, booked, type,
       outcome, input, record, head, format
FROM old_journal CROSS JOIN span CROSS JOIN generate_series(0, copies - 1) AS k
CROSS JOIN LATERAL (
    SELECT since + interval '{days} days' * ((version + k * versions)::float8 / (versions * copies + 1)) AS booked
) AS at;
UPDATE account SET version = versions * copies, now = now(), available = 1000000, next_due = NULL FROM span;
INSERT INTO lot (shard, account, day, parent, pending, available, held, expired, forgiven)
SELECT DISTINCT shard, account, lot_day, date '-infinity', 0, 10000, 0, 0, 0 FROM entry WHERE isfinite(lot_day);
-- A few moves of a kind that is rare, all of them old.
UPDATE entry SET debit = 'available', credit = 'redeemed'
WHERE (version, line) IN (SELECT version, line FROM entry ORDER BY version, line OFFSET 100 LIMIT 5);
"""


def big_member(console: Console, *, quick: bool) -> list[Figure]:
    """The slowest kind of read, and the slowest command beside reads of the past; on a server of its own."""
    began = time.monotonic()
    with (
        system(DIRECTORY / "big", lambda what: say(console, began, what), broker=False) as servers,
        servers.database("big_member") as database,
    ):
        entries, kept, seconds = uvloop.run(_grow(database, QUICK_ENTRIES if quick else ENTRIES))
        say(console, began, f"{entries:,} entries of one member; {kept} milestones in {seconds:.1f} s")
        with servers.service("ledger", database, "--parts", "api", "--workers", "2") as ledger:
            # Its part `api` alone runs, so it is not well; but it can answer.
            wait_until(lambda: _is_ready(ledger.url), 60)
            took, commands = asyncio.run(_ask(ledger.url, servers.signer.token()))
    for name, samples in took.items():
        say(console, began, f"{name}: {statistics.median(samples):.1f} ms, at most {max(samples):.1f}")
    medians = [statistics.median(samples) for samples in took.values()]
    return [
        Figure.below("big_member", max(medians), "ms", BAR_MS, medians),
        Figure.of("big_member_command", commands, "ms"),
    ]


def _is_ready(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/readyz").status_code == 200
    return False


async def _grow(database: Database, wanted: int) -> tuple[int, int, float]:
    await fill(database, entries=1)
    owner = await asyncpg.connect(
        database.dsn(), server_settings={"search_path": "ledger", "synchronous_commit": "off"}, command_timeout=3600
    )
    try:
        each = await owner.fetchval("SELECT count(*) FROM entry")
        async with booking.ledger_pool(database) as pool, pool.acquire() as connection:
            await lay_months(connection, later(clock.now(), -(DAYS + 1) * _DAY))
        await owner.execute(_GROW.format(copies=wanted // each, days=DAYS))
        for table in ("entry", "journal", "lot", "account"):
            await owner.execute(f"VACUUM (ANALYZE) {table}")
        entries = await owner.fetchval("SELECT count(*) FROM entry")
    finally:
        await owner.close()
    began, kept = time.monotonic(), 0
    async with booking.ledger_pool(database) as pool:
        keep = Milestones(pool)
        while await keep(Shard(shard_of(FIRST, SHARDS))):
            kept += 1
    return entries, kept, time.monotonic() - began


def _paths() -> dict[str, list[str]]:
    """The reads, by name: each is asked for with several parameters in turn."""
    member = f"/v1/members/{FIRST}"
    days = [datetime.now(UTC) - timedelta(days=DAYS * part / TIMES) for part in range(1, TIMES)]
    instants = [day.strftime("%Y-%m-%dT%H:%M:%SZ") for day in days]
    kinds = ("earned", "redeemed", "expired", *HOT_KINDS)
    return {
        "balance": [f"{member}/balance"],
        "balance?at=": [f"{member}/balance?at={at}" for at in instants],
        "lots": [f"{member}/lots"],
        "entries": [f"{member}/entries?limit=50"],
        "entries?from=&to=": [f"{member}/entries?from={at[:10]}&to={at[:10]}" for at in instants],
        **{f"entries?kind={kind}": [f"{member}/entries?kind={kind}"] for kind in kinds},
        "orders": [f"{member}/orders"],
    }


async def _ask(url: str, token: str) -> tuple[dict[str, list[float]], list[float]]:
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as client:

        async def timed(path: str) -> float:
            began = time.perf_counter()
            answer = await client.get(path)
            answer.raise_for_status()
            return (time.perf_counter() - began) * 1000

        took: dict[str, list[float]] = {}
        for name, paths in _paths().items():
            for path in paths[:2]:
                await timed(path)  # plans are made
            took[name] = [await timed(paths[number % len(paths)]) for number in range(TIMES)]
        return took, await _commands_beside(client, _paths()["balance?at="])


async def _commands_beside(client: httpx.AsyncClient, paths: list[str]) -> list[float]:
    """What holds take while balances of the past are asked for without a pause."""
    done = asyncio.Event()

    async def read(number: int) -> None:
        while not done.is_set():
            await client.get(paths[number % len(paths)])

    readers = [asyncio.create_task(read(number)) for number in range(BESIDE)]
    took = []
    for number in range(20):
        began = time.perf_counter()
        answer = await client.post(
            f"/v1/members/{FIRST}/holds",
            json={"points": 1, "reference": f"bench-{number}"},
            headers={"Idempotency-Key": f"bench-{number}"},
        )
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code in (201, 409), answer.text
    done.set()
    await asyncio.gather(*readers)
    return took
