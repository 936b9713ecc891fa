"""`python -m services.tiering verify`: are the stored tiers those that the stored timelines make?

Every member's history is computed again the naive way from the documents of the program and the newest timeline of
each order, and compared with the state, with the columns beside it, and with the journal's last decision.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from services.kit.calendar import from_micros
from services.kit.kafka import Shard
from services.kit.money import exponent
from services.kit.postgres import Connection
from services.kit.program import ProgramFollower
from services.kit.verification import run_verify, verdict
from services.tiering import store
from services.tiering.audit.naive import History, naive_history
from services.tiering.audit.told import compare_timelines
from services.tiering.domain.member import Order
from services.tiering.domain.program import compile_program
from services.tiering.settings import TieringSettings

PAGE_SIZE: Final = 500
PROGRAM_TIMEOUT_SECONDS: Final = 30.0
"""How long to wait for the program topic."""

Document = Mapping[str, Any]


class Stored(NamedTuple):
    """All that is stored of one member."""

    row: store.MemberRow
    orders: Sequence[Order]
    """Open and settled, the newest version of each."""
    journal: Sequence[store.JournalRow]


USAGE: Final = "verify [--json] [--told FILE]    (FILE: the output of `python -m services.ledger timelines`)"


async def verify(settings: TieringSettings, arguments: list[str]) -> int:
    """verify [--json] [--told FILE]: compare stored tiers with a naive recomputation, timelines with the ledger's."""
    told = Path(arguments.pop()) if arguments[-2:-1] == ["--told"] else None
    rest = arguments[:-1] if told is not None else arguments

    async def compare(connection: Connection) -> dict[str, Any]:
        documents = await _documents(settings)
        report = await examine(connection, documents, settings.shards)
        if told is None:
            return report
        with told.open("rb") as lines:
            compared = await compare_timelines(connection, lines, settings.shards, decimals_of(documents))
        faults = [*compared.faults, *report["examples"]]
        return report | compared.figures() | verdict(faults) | {"broken": report["broken"] + len(compared.faults)}

    return await run_verify(settings, rest, compare, usage=USAGE)


async def examine(tx: Connection, documents: Sequence[Document], shards: int) -> dict[str, Any]:
    """Counts, tiers held, and what does not agree: `{members, enrolled, orders, tiers, decisions, broken, examples}`.

    Each page is read in one snapshot, so it may run while the service works.
    """
    counts: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    faults: list[str] = []
    for shard in map(Shard, range(shards)):
        async for stored in _stored_members(tx, shard):
            row = stored.row
            history = naive_history(documents, row.member.enrolled_at, [order.entries for order in stored.orders])
            faults += [f"{row.member_id}: {fault}" for fault in _faults(stored, history)]
            counts["members"] += 1
            counts["enrolled"] += row.member.enrolled_at is not None
            counts["orders"] += len(stored.orders)
            counts["decisions"] += len(stored.journal)
            tiers[row.tier] += 1
    return {
        **{name: counts[name] for name in ("members", "enrolled", "orders", "decisions")},
        "tiers": dict(sorted(tiers.items())),
        **verdict(faults),
    }


async def _stored_members(tx: Connection, shard: Shard) -> AsyncIterator[Stored]:
    """The members of a shard in the order of ids, each page read in a snapshot of its own."""
    after = ""
    while True:
        async with tx.transaction(isolation="repeatable_read", readonly=True):
            rows = await store.members_after(tx, shard, after, PAGE_SIZE)
            if not rows:
                return
            ids = [row.member_id for row in rows]
            settled = await store.all_settled_orders(tx, shard, ids)
            journal = await store.decisions(tx, shard, ids)
        for row in rows:
            # An order that is open as well as settled is outdated among the settled ones.
            orders = {**settled.get(row.member_id, {}), **row.member.orders}
            yield Stored(row, list(orders.values()), journal.get(row.member_id, []))
        after = ids[-1]


def _faults(stored: Stored, history: History) -> list[str]:
    """What is wrong with one member, in words. `history` is the one computed from the timelines."""
    row, journal = stored.row, stored.journal
    position = row.member.position
    in_state = [(reached.tier, reached.effective_at) for reached in position.reached]
    held = (history[-1][0], from_micros(history[-1][1])) if history else ("none", None)
    faults = []
    if in_state != history:
        faults.append(f"the state's history is {in_state}, the timelines make {history}")
    if (row.tier, row.since) != held:
        faults.append(f"the row says {row.tier} since {row.since}, the timelines make {held}")
    if (row.growth, row.orders) != (position.growth, position.orders):
        faults.append("the row's growth or orders are not the state's")
    if [decision.version for decision in journal] != list(range(1, row.version + 1)):
        faults.append(f"the journal does not have each of the member's {row.version} decisions once")
    if journal and journal[-1][1:] != held:
        faults.append(f"the journal ends in {journal[-1][1:]}, the timelines make {held}")
    return faults


def decimals_of(documents: Sequence[Document]) -> int:
    """How many decimals an amount of the program's currency has."""
    return exponent(documents[0]["currency"])


async def _documents(settings: TieringSettings) -> list[Document]:
    """The documents of all published versions; each of them compiles."""

    def parse(document: dict[str, Any]) -> Document:
        compile_program(document)
        return document

    follower = ProgramFollower(settings, parse=parse)
    await follower.start()
    try:
        async with asyncio.timeout(PROGRAM_TIMEOUT_SECONDS):
            await follower.first()
        return [version.program for version in follower.versions]
    finally:
        await follower.stop()
