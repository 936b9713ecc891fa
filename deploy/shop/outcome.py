"""The results of a history of events, member by member, which no order of arrival may change (O6).

Timelines and tier histories are those of the latest events on the topics, balances are those of the
accounts. Two runs of the same events, in whatever order, have the same fingerprints if the program
bounds no lateness.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from deploy.shop.topic import records
from services.kit.postgres import Queries

SQL = Queries.load("deploy.shop", "sql/outcome.sql", require=("net_points",))

Position = tuple[int, int]
"""(member_version, event_no): of two events about the same thing the higher one counts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a run."""

    net: dict[str, int]
    """By member: points available, pending and held, less debt, and what expired of them."""
    timelines: dict[str, Any]
    """By `member shop order`: the order's whole dated timeline."""
    tiers: dict[str, Any]
    """By member: the whole dated tier history."""

    def fingerprints(self) -> dict[str, str]:
        """A digest of each part; equal if and only if the parts are."""
        return {
            name: hashlib.sha256(orjson.dumps(getattr(self, name), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
            for name in ("net", "timelines", "tiers")
        }


async def outcome(database_url: str, bootstrap_servers: str) -> Outcome:
    """Read the outcome of a stack at rest."""
    database = await asyncpg.connect(database_url)
    try:
        net = {row["member_id"]: row["net"] for row in await database.fetch(SQL.net_points)}
    finally:
        await database.close()
    timelines = await _latest(bootstrap_servers, "loyalty.points.v1", "timeline")
    tiers = await _latest(bootstrap_servers, "loyalty.tiers.v1", "history")
    return Outcome(net, timelines, tiers)


async def _latest(bootstrap_servers: str, topic: str, field: str) -> dict[str, Any]:
    """The newest `field` of each member (and order) among a topic's events that have it.

    What is empty is left out: said and taken back is where never said leads, too.
    """
    newest: dict[str, tuple[Position, Any]] = {}
    async for record in records(bootstrap_servers, topic):
        event = orjson.loads(record.value)
        data = event["data"]
        if field not in data:
            continue
        order = f" {data.get('shop', '')} {data['order_id']}" if "order_id" in data else ""
        key = f"{event['subject']}{order}"
        position = (data["member_version"], data["event_no"])
        if key not in newest or position > newest[key][0]:
            newest[key] = (position, data[field])
    return {key: value for key, (_, value) in newest.items() if value}
