"""`python -m services.tiering verify`: are the stored tiers what the stored timelines say?

Every member's history is computed again the naive way from the documents of the program and the orders as they
were last told, and compared with the state, with the columns beside it, and with the journal's last decision.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from services.kit.calendar import from_micros
from services.kit.postgres import Connection, connect
from services.kit.program import ProgramFollower
from services.tiering import store
from services.tiering.domain.naive import naive_history
from services.tiering.domain.program import compile_program
from services.tiering.settings import TieringSettings

PAGE: Final = 500
SHOWN: Final = 20
TIMEOUT_SECONDS: Final = 30.0

Document = Mapping[str, Any]


async def verify(settings: TieringSettings, arguments: list[str]) -> int:
    """Compare every stored tier with a naive recomputation; prints one line of JSON."""
    if arguments not in ([], ["--json"]):
        print("usage: verify [--json]", file=sys.stderr)
        return 2
    documents = await _documents(settings)
    connection = await connect(settings, part="verify")
    try:
        report = await examine(connection, documents, settings.shards)
    finally:
        await connection.close()
    sys.stdout.write(orjson.dumps(report).decode() + "\n")
    return 1 if report["broken"] else 0


async def examine(tx: Connection, documents: Sequence[Document], shards: int) -> dict[str, Any]:
    """Counts, tiers held, and what does not agree: `{members, enrolled, orders, tiers, decisions, broken}`.

    Each page is read in one snapshot, so it may run while the service works.
    """
    members = enrolled = orders = decisions = 0
    tiers: Counter[str] = Counter()
    broken: list[str] = []
    for shard in range(shards):
        after = ""
        while True:
            async with tx.transaction(isolation="repeatable_read", readonly=True):
                rows = await store.members_after(tx, shard, after, PAGE)
                if not rows:
                    break
                ids = [row.member_id for row in rows]
                settled = await store.all_settled_orders(tx, shard, ids)
                journal = await store.decisions(tx, shard, ids)
            for row in rows:
                told = {**settled.get(row.member_id, {}), **row.member.orders}
                decided = journal.get(row.member_id, [])
                entries = [order.entries for order in told.values()]
                history = naive_history(documents, row.member.enrolled_at, entries)
                broken += [f"{row.member_id}: {fault}" for fault in _faults(row, decided, history)]
                members += 1
                enrolled += row.member.enrolled_at is not None
                orders += len(told)
                decisions += len(decided)
                tiers[row.tier] += 1
            after = ids[-1]
    return {
        "members": members,
        "enrolled": enrolled,
        "orders": orders,
        "decisions": decisions,
        "tiers": dict(sorted(tiers.items())),
        "broken": len(broken),
        "examples": broken[:SHOWN],
    }


def _faults(row: store.Row, decided: Sequence[store.Decided], history: Sequence[tuple[str, int]]) -> list[str]:
    """What is wrong with one member, in words."""
    position = row.member.position
    stored = [(reached.tier, reached.effective_at) for reached in position.reached]
    held = (history[-1][0], from_micros(history[-1][1])) if history else ("none", None)
    faults = []
    if stored != list(history):
        faults.append(f"the state's history is {stored}, the timelines say {list(history)}")
    if (row.tier, row.since) != held:
        faults.append(f"the row says {row.tier} since {row.since}, the timelines say {held}")
    if (row.growth, row.orders) != (position.growth, position.orders):
        faults.append("the row's growth or orders are not the state's")
    if [version for version, _, _ in decided] != list(range(1, row.version + 1)):
        faults.append(f"the journal has not each of its {row.version} decisions once")
    if decided and decided[-1][1:] != held:
        faults.append(f"the journal ends in {decided[-1][1:]}, the timelines say {held}")
    return faults


async def _documents(settings: TieringSettings) -> list[Document]:
    """The documents of all published versions, each also known to compile."""

    def parse(document: dict[str, Any]) -> Document:
        compile_program(document)
        return document

    follower = ProgramFollower(settings, parse=parse)
    await follower.start()
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await follower.first()
        return [version.program for version in follower.versions]
    finally:
        await follower.stop()
