"""`python -m services.ledger restored`: what has to be done after the ledger was restored from a backup (C3).

It begins an epoch and lists what clients had been told after the backup and the books do not know. With `--book` these
are booked again under their own ids, as far as the members have the points. That is best done before the service is
started: an order that names one of them then finds it. What lacks points can be booked once the service has caught up.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition

from schemas.events import parse_event
from services.kit import epoch
from services.kit.calendar import MICROS_PER_SECOND, Micros, later, parse_rfc3339, rfc3339
from services.kit.database_clock import DatabaseClock
from services.kit.executor import Executor
from services.kit.kafka import new_reader, shard_of, stop_quietly
from services.kit.postgres import Pool, Queries, new_pool
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.orders import decode_order
from services.ledger.domain.state.outcome import Outcome
from services.ledger.events.outbound import TOPIC
from services.ledger.executor import Ledger
from services.ledger.inputs import MemberInput
from services.ledger.promises import Promise, promises_of
from services.ledger.settings import LedgerSettings
from services.ledger.store import prepare

SQL: Final = Queries.load(
    "services.ledger", "sql/restored.sql", require=("newest", "epoch", "known", "orders_of_member")
)
MARGIN: Final = 3_600 * MICROS_PER_SECOND
"""Facts are read from so long before the newest booking of the backup on; more than is needed does no harm."""
ANSWER_SECONDS: Final = 30.0


class _Found(NamedTuple):
    """What the books do not know of, and why it is not booked again, if so."""

    promise: Promise
    why_not: str


async def restored(settings: LedgerSettings, arguments: Sequence[str]) -> int:
    """Begin an epoch after a restore, and list (or --book again) what clients were told and the books do not know."""
    parser = argparse.ArgumentParser(prog="python -m services.ledger restored")
    parser.add_argument("--book", action="store_true", help="book what is listed; the epoch has begun already")
    parser.add_argument("--since", type=parse_rfc3339, help="read the facts sent since then (RFC 3339)")
    options = parser.parse_args(arguments)
    async with new_pool(settings, part="restored", prepare=prepare) as pool:
        if not options.book:
            try:
                async with pool.acquire() as connection:
                    number = await epoch.begin(connection, settings.service)
            except epoch.StillRunning as running:
                sys.stderr.write(f"{running}\n")
                return 1
            sys.stdout.write(f"Epoch {number} has begun.\n")
        clock = DatabaseClock(settings, pool)
        await clock.read()
        since = options.since
        if since is None:
            newest = await pool.fetchval(SQL.newest)
            since = later(newest or Micros(MARGIN), -MARGIN - clock.shift)
        found = [each async for each in _unknown(settings, pool, since)]
        if options.book:
            found = await _book(settings, pool, clock, found)
    return _report(found, is_booked=options.book)


async def _unknown(settings: LedgerSettings, pool: Pool, since: Micros) -> AsyncIterator[_Found]:
    """What clients were told since an instant, in an epoch that is over, and the books do not know."""
    current = await pool.fetchval(SQL.epoch) or 0
    facts = [event async for event in _facts(settings, since) if event["data"].get("epoch", 0) < current]
    for promise in promises_of(facts):
        shard = shard_of(promise.member_id, settings.shards)
        if promise.standing and not await pool.fetchval(SQL.known, shard, promise.member_id, promise.key):
            yield _Found(promise, await _why_not(pool, shard, promise))


async def _facts(settings: LedgerSettings, since: Micros) -> AsyncIterator[Any]:
    """The facts about members that were sent since an instant, each member's in order."""
    client = new_reader(settings, "restored", auto_offset_reset="earliest")
    async with asyncio.timeout(ANSWER_SECONDS):
        await client.start()
    try:
        for partition in range(settings.shards):
            place = TopicPartition(TOPIC, partition)
            client.assign([place])
            end = (await client.end_offsets([place]))[place]
            start = (await client.offsets_for_times({place: max(0, since // 1000)}))[place]
            if start is None:
                continue
            client.seek(place, start.offset)
            while await client.position(place) < end:
                async with asyncio.timeout(ANSWER_SECONDS):
                    fetched = await client.getmany(place, timeout_ms=1000)
                for record in fetched.get(place, ()):
                    event = parse_event(record.value)
                    if event["type"] != "loyalty.day.closed.v1":
                        yield event
    finally:
        await stop_quietly(client)


async def _why_not(pool: Pool, shard: int, promise: Promise) -> str:
    """Why a promise cannot be booked again; empty if it can."""
    if promise.reward:
        return f"the reward {promise.reward} has to be redeemed anew"
    for row in await pool.fetch(SQL.orders_of_member, shard, promise.member_id):
        if promise.key in decode_order(row["state"]).funding_keys:
            return "an order that names it was booked without it, and has used points in its place"
    return ""


async def _book(settings: LedgerSettings, pool: Pool, clock: DatabaseClock, found: Sequence[_Found]) -> list[_Found]:
    """Book promises again, in the order in which they were made; what is left has the reason why."""
    executor = Executor[MemberInput, Any](pool, Ledger().book)
    left = []
    for promise, why_not in found:
        why = why_not
        for input_ in [] if why_not else promise.inputs(clock.now()):
            member_id = promise.member_id
            arrival = Arrival(digest_of(member_id, input_.source, input_.id), input_, clock.now())
            outcome = await executor.submit(shard_of(member_id, settings.shards), MemberInput(member_id, arrival))
            if not isinstance(outcome, Outcome) or outcome.kind != "booked":
                why = getattr(outcome, "detail", "") or str(outcome)
                break
        if why:
            left.append(_Found(promise, why))
    return left


def _report(found: Sequence[_Found], *, is_booked: bool) -> int:
    """Print what is left, a line each; 1 if `--book` left anything."""
    for promise, why_not in found:
        about = f" to {promise.to}" if promise.to else ""
        sys.stdout.write(
            f"{promise.kind} {promise.id} of {promise.member_id}{about}: {promise.standing} points, told "
            f"{rfc3339(promise.at)}{': ' + why_not if why_not else ''}\n"
        )
    if is_booked:
        sys.stdout.write(f"{len(found)} could not be booked again.\n" if found else "All is booked again.\n")
        return 1 if found else 0
    sys.stdout.write(f"{len(found)} that clients were told of are not in the books: `restored --book` books them.\n")
    return 0
