"""`python -m services.ledger verify`: do the books balance, do the chains hold, do the inputs explain what is stored?

Each shard is read in a snapshot of its own and without locks, so it may run while the ledger works: one snapshot of all
of it would last so long that the outbox, whose rows die within a second, would keep all that died meanwhile. What spans
shards is looked at again at the end (`seams.py`). Two processes divide the shards, each on one core.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from multiprocessing import get_context
from typing import Any, Final

import asyncpg
import msgspec
import orjson

from schemas.program import content_hash
from services.kit import clock
from services.kit.calendar import rfc3339
from services.kit.kafka import Shard
from services.kit.postgres import Connection, connect, is_unavailable
from services.kit.settings import Settings
from services.ledger.audit.account import CHECKS, POINTS
from services.ledger.audit.seams import settle_doubts
from services.ledger.audit.shard import SQL, Report, audit_shard
from services.ledger.codecs import register_codecs
from services.ledger.domain.program.program import ProgramVersions, compile_program

PROCESSES: Final = 2
ONE_PROCESS_UP_TO: Final = 2_000
"""Accounts below which a second process takes longer to start than it saves."""
_USAGE: Final = "usage: verify [--json] [--members N]"

Job = tuple[Shard, list[int] | None]
"""A shard, and which of its accounts (None: all)."""

Snapshot = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens a transaction that sees one state of the ledger."""

WHOLE_CHECKS: Final = {
    "programs": "each program version is what was published, by its content hash",
    "shards": "no row is on a shard that nobody reads",
    "months": "every month's partition belongs to its table",
    "grants": "the runtime role cannot change journal and entries",
    "transit": "what is in transit was sent and has not arrived; each arrival was sent",
    "budgets": "no campaign gave more than its budget, no order has more from one than it was given",
    "books": "the totals of all accounts are the sums of all entries",
}


async def verify(settings: Settings, arguments: list[str]) -> int:
    """verify [--json] [--members N]: prove the books, all of them or N accounts at random; 1 if anything is broken."""
    try:
        as_json, members = _options(arguments)
    except ValueError:
        print(_USAGE, file=sys.stderr)
        return 2
    began = time.monotonic()
    try:
        report, faults, figures = await examine(settings, members=members)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        print("the database has no tables yet: run `python -m services.ledger migrate` first", file=sys.stderr)
        return 1
    except Exception as error:
        if not is_unavailable(error):
            raise
        print(f"nothing was verified: the database cannot be reached ({error})", file=sys.stderr)
        return 1
    seconds = round(time.monotonic() - began, 1)
    summary = summarise(report, faults, figures) | {"seconds": seconds}
    print(orjson.dumps(summary).decode() if as_json else table(summary))
    return 0 if summary["ok"] else 1


def _options(arguments: list[str]) -> tuple[bool, int | None]:
    as_json, members, rest = False, None, list(arguments)
    while rest:
        match rest.pop(0):
            case "--json":
                as_json = True
            case "--members" if rest and int(rest[0]) > 0:
                members = int(rest.pop(0))
            case other:
                raise ValueError(other)
    return as_json, members


Examination = tuple[Report, dict[str, list[str]], dict[str, Any]]
"""The report on the accounts, the faults of the ledger as a whole by check, and further figures."""


async def examine(settings: Settings, *, members: int | None = None, processes: int = PROCESSES) -> Examination:
    """Examine all accounts, or `members` of them at random, shard by shard. It needs no right but SELECT."""
    connection = await _connect(settings)
    try:
        return await examine_by(lambda: _snapshot(connection), settings, members=members, processes=processes)
    finally:
        await connection.close()


async def survey(tx: Connection, settings: Settings) -> Examination:
    """`examine` in the caller's transaction, which sees what it has not committed."""
    return await examine_by(lambda: nullcontext(tx), settings)


async def examine_by(
    snapshot: Snapshot, settings: Settings, *, members: int | None = None, processes: int = 1
) -> Examination:
    """`examine` with snapshots of the caller's: one for the whole, one for each shard in turn, and one for the end."""
    began = clock.now()
    async with snapshot() as tx:
        faults, figures = await _check_whole(tx, settings)
        jobs = await _jobs(tx, settings, members)
        count = members or await tx.fetchval(SQL.account_count)
    if count > ONE_PROCESS_UP_TO and processes > 1:
        reports = await _audit_in_processes(settings, jobs, processes)
    else:
        reports = []
        for job in jobs:
            async with snapshot() as tx:
                reports.append(await _audit(tx, settings.shards, *job))
    report = Report()
    for part in reports:
        report.add(part)
    if members is None:
        async with snapshot() as tx:
            await settle_doubts(tx, report, began, settings.shards)
        _conclude(report, faults)
    if report.accounts and not figures["programs"]:
        faults["programs"] = ["accounts were booked, but there is no program"]
    return report, faults, figures


def _conclude(report: Report, faults: dict[str, list[str]]) -> None:
    """Add the faults of all shards together."""
    found = {
        "books": report.books,
        "transit": [*report.in_transit, *report.transit.faults()],
        "budgets": report.budgets.faults(),
    }
    faults.update({name: wrong for name, wrong in found.items() if wrong})


def _snapshot(connection: asyncpg.Connection[asyncpg.Record]) -> AbstractAsyncContextManager[Connection]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[Connection]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection

    return opened()


async def _jobs(tx: Connection, settings: Settings, members: int | None) -> list[Job]:
    if members is None:
        return [(shard, None) for shard in map(Shard, range(settings.shards))]
    chosen: dict[Shard, list[int]] = {}
    for shard, account in await tx.fetch(SQL.sample, members):
        chosen.setdefault(shard, []).append(account)
    return sorted(chosen.items())


async def _connect(settings: Settings) -> asyncpg.Connection[asyncpg.Record]:
    """A connection that may hold a snapshot for as long as the audit of a shard takes."""
    connection = await connect(settings, part="verify")
    await register_codecs(connection)
    await connection.execute("SET idle_in_transaction_session_timeout = 0")
    return connection


async def _check_whole(tx: Connection, settings: Settings) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The faults of the ledger as a whole, by check, and the figures that are read along with it."""
    faults: dict[str, list[str]] = {}
    programs = await tx.fetch(SQL.programs)
    for row in programs:
        if content_hash(orjson.loads(row["document"])) != row["content_hash"]:
            faults.setdefault("programs", []).append(f"version {row['version']} is not what was published")
    if [row["number"] for row in programs] != list(range(1, len(programs) + 1)):
        faults.setdefault("programs", []).append("a version is missing")
    for row in await tx.fetch(SQL.beyond_shards, settings.shards):
        faults.setdefault("shards", []).append(f"{row['name']} has rows beyond shard {settings.shards - 1}")
    for row in await tx.fetch(SQL.detached):
        faults.setdefault("months", []).append(f"{row['child']} is detached")
    for row in await tx.fetch(SQL.changeable, settings.service):
        faults.setdefault("grants", []).append(f"{settings.service} may change {row['name']}")
    partitions = Counter(row["parent"] for row in await tx.fetch(SQL.partitions))
    figures = {
        "programs": len(programs),
        "partitions": dict(partitions),
        "outbox": await tx.fetchval(SQL.outbox_waiting),
        "at": rfc3339(clock.now()),
    }
    return faults, figures


async def _audit(tx: Connection, shards: int, shard: Shard, accounts: Sequence[int] | None) -> Report:
    rows = await tx.fetch(SQL.programs)
    if not rows:
        return Report(accounts=await tx.fetchval(SQL.account_count))
    programs = ProgramVersions(compile_program(row["number"], orjson.loads(row["document"])) for row in rows)
    return await audit_shard(tx, programs, shard, shards, accounts)


async def _audit_in_processes(settings: Settings, jobs: Sequence[Job], processes: int) -> list[Report]:
    """Audit shards in several processes."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(min(processes, os.cpu_count() or 1), mp_context=get_context("spawn")) as pool:
        tasks = [loop.run_in_executor(pool, _audit_apart, settings, job) for job in jobs]
        return await asyncio.gather(*tasks)


def _audit_apart(settings: Settings, job: Job) -> Report:
    """Audit one shard, in a process of its own."""
    return asyncio.run(_audit_shard(settings, job))


async def _audit_shard(settings: Settings, job: Job) -> Report:
    connection = await _connect(settings)
    try:
        async with _snapshot(connection) as tx:
            return await _audit(tx, settings.shards, *job)
    finally:
        await connection.close()


def summarise(report: Report, faults: dict[str, list[str]], figures: dict[str, Any]) -> dict[str, Any]:
    """The examination as JSON. The points are those of the entries; `issued` is net of clawbacks."""
    by_check = {name: len(faults.get(name, ())) for name in WHOLE_CHECKS}
    for check in CHECKS:
        by_check[check] = report.checks[check]
    return {
        "ok": not report.broken and not faults,
        "accounts": report.accounts,
        "journal": report.rows["journal"],
        "entries": report.rows["entries"],
        "lots": report.rows["lots"],
        "orders": report.rows["orders"],
        "facts": report.rows["facts"],
        "outcomes": dict(report.outcomes),
        "not_folded": report.not_folded,
        "parked_orders": report.parked,
        "parked_too_long": report.overdue,
        "points": _points_json(report.points),
        **figures,
        "checks": by_check,
        "broken": report.broken + sum(map(len, faults.values())),
        "examples": [msgspec.to_builtins(example) for example in report.examples]
        + [{"check": check, "detail": detail} for check, details in faults.items() for detail in details],
    }


def _points_json(sums: Counter[str]) -> dict[str, int]:
    """The sums of all entries; `issued` and `debt` are the negatives of theirs."""
    return {name: -sums[name] if name in ("issued", "debt") else sums[name] for name in ("issued", *POINTS)}


def _not_folded(accounts: int) -> list[str]:
    if not accounts:
        return []
    return [
        f"  of an older release: {accounts:,} accounts, which are not folded again until the service has taken their "
        "snapshots"
    ]


def table(summary: dict[str, Any]) -> str:
    """The summary as text for a person."""
    points = {name: f"{number:,}" for name, number in summary["points"].items()}
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(summary["outcomes"].items())) or "none"
    months = ", ".join(f"{name} {count}" for name, count in summary["partitions"].items()) or "none"
    lines = [
        f"The ledger at {summary['at']}",
        f"  accounts {summary['accounts']:,} · journal {summary['journal']:,} ({outcomes})",
        f"  entries {summary['entries']:,} · lots {summary['lots']:,} · facts {summary['facts']:,} · "
        f"orders {summary['orders']:,}",
        f"  parked: {summary['parked_orders']:,} orders that were never paid, {summary['parked_too_long']:,} of them "
        "for longer than the program waits",
        *_not_folded(summary["not_folded"]),
        f"  issued {points['issued']} = available {points['available']} + pending {points['pending']} + "
        f"held {points['held']} - debt {points['debt']} + redeemed {points['redeemed']} + "
        f"expired {points['expired']} + written off {points['written_off']} + in transit {points['in_transit']}",
        f"  outbox {summary['outbox']:,} waiting · programs {summary['programs']} · monthly partitions: {months}",
        "",
    ]
    for name, meaning in (*CHECKS.items(), *WHOLE_CHECKS.items()):
        broken = summary["checks"][name]
        lines.append(f"  {f'{broken:,} broken' if broken else 'holds':>12}  {name:<9} {meaning}")
    lines.append("")
    for example in summary["examples"]:
        where = ""
        if "account" in example:
            who = example["member"] or "without an id"
            where = f" {who} (shard {example['shard']}, account {example['account']})"
        lines.append(f"  BROKEN {example['check']}{where}: {example['detail']}")
    verdict = "All of it holds." if summary["ok"] else f"{summary['broken']:,} broken."
    return "\n".join([*lines, f"{verdict} ({summary['seconds']} s)"])
