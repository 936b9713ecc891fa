"""The figures of a stack at rest, from its tables and its topic of dead letters."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from deploy.shop.topic import records
from services.kit.postgres import Connection, Queries
from services.ledger.domain.state.entries import KINDS
from services.ledger.domain.state.holds import decode_hold

SQL = Queries.load("deploy.shop", "sql/figures.sql")


@dataclass(frozen=True, slots=True)
class Figures:
    """Totals over all members; points are integers."""

    members: int
    orders: int
    balances: dict[str, int]
    """available, pending, held, debt."""
    points: dict[str, int]
    """Points moved by kind of entry, and in all `issued`."""
    inputs: dict[str, int]
    """Journalled inputs by outcome."""
    parked_refunds: int
    holds: dict[str, int]
    """By state."""
    tiers: dict[str, int]
    """Members by tier, from the lowest."""
    messages: dict[str, dict[str, int]]
    """By `touchpoint channel`, the decisions and how often each was made."""
    dead_letters: dict[str, int]
    """By reason."""
    noteworthy: list[str]
    """Members whose accounts show the most different things."""

    @property
    def granted(self) -> int:
        """Points that the program granted and did not claw back."""
        return self._moved("issued") - self._moved("clawed_back") - self._moved("forgiven")

    @property
    def accounted(self) -> int:
        """Where those points are: with the members, used or expired. The same number, if the books balance."""
        with_members = sum(self.balances[name] for name in ("available", "pending", "held")) - self.balances["debt"]
        used = self._moved("redeemed") - self._moved("returned")
        return with_members + used + self._moved("expired") - self._moved("forgiven")

    def _moved(self, kind: str) -> int:
        return self.points.get(kind, 0)

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON, without naming members."""
        names = (name for name in self.__slots__ if name != "noteworthy")
        return {name: getattr(self, name) for name in names} | {
            "reconciles": self.granted == self.accounted,
            "points_given": self.granted,
        }


async def figures(database_url: str, bootstrap_servers: str) -> Figures:
    """Read them all. Raises asyncpg's and aiokafka's errors when a server does not answer."""
    dead_letters = await _dead_letters(bootstrap_servers)
    database = await asyncpg.connect(database_url)
    try:
        balances = dict((await database.fetch(SQL.balances))[0])
        messages: dict[str, dict[str, int]] = {}
        for touchpoint, channel, decision, count in await database.fetch(SQL.messages):
            messages.setdefault(f"{touchpoint} {channel}", {})[decision] = count
        return Figures(
            members=balances.pop("members"),
            orders=await database.fetchval(SQL.orders),
            balances=balances,
            points=await _points(database),
            inputs=await _by_name(database, SQL.inputs),
            parked_refunds=await database.fetchval(SQL.parked_refunds),
            holds=await _holds(database),
            tiers=await _by_name(database, SQL.tiers),
            messages=messages,
            dead_letters=dead_letters,
            noteworthy=[row["member_id"] for row in await database.fetch(SQL.noteworthy_members)],
        )
    finally:
        await database.close()


async def journalled(database_url: str) -> int:
    """How many inputs are journalled; an event that was booked before adds none (O1)."""
    database = await asyncpg.connect(database_url)
    try:
        return int(await database.fetchval(SQL.journalled))
    finally:
        await database.close()


async def _by_name(database: Connection, statement: str) -> dict[str, int]:
    """The two columns of a statement, names and numbers, as a dict in its order."""
    return {row[0]: row[1] for row in await database.fetch(statement)}


async def _points(database: Connection) -> dict[str, int]:
    """Points moved by kind of entry; `issued` is all that was ever promised, whatever became of it."""
    kinds: Counter[str] = Counter()
    for debit, credit, points in await database.fetch(SQL.moves):
        kinds[KINDS[debit, credit]] += points
        if debit == "issued":
            kinds["issued"] += points
    return dict(sorted(kinds.items()))


async def _holds(database: Connection) -> dict[str, int]:
    """Holds by state, as booked."""
    return dict(sorted(Counter(decode_hold(row["value"]).state for row in await database.fetch(SQL.holds)).items()))


async def _dead_letters(bootstrap_servers: str) -> dict[str, int]:
    """Dead letters by reason."""
    reasons: Counter[str] = Counter()
    async for record in records(bootstrap_servers, "loyalty.dead_letters.v1"):
        reasons[str(orjson.loads(record.value)["data"]["reason"])] += 1
    return dict(reasons)
