"""The ledger over HTTP, one router a noun. What the paths read is in `services.ledger.reads`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fastapi import APIRouter

from services.kit.auth import Guard
from services.kit.clock import Clock, now
from services.kit.event_sources import EventSources
from services.kit.executor import Executor
from services.kit.postgres import Pool
from services.kit.settings import Settings
from services.ledger.api import (
    balance,
    entries,
    events,
    explanation,
    holds,
    inputs,
    lots,
    orders,
    quotes,
    redemptions,
    rewards,
    shortfalls,
    streak_repairs,
    transfers,
)
from services.ledger.api.commands import Commands
from services.ledger.api.context import Context
from services.ledger.api.publisher import Publisher
from services.ledger.horizon import Limit, without_limit
from services.ledger.reads.balances import Reads

__all__ = ["MAX_BODIES", "Publisher", "routers"]

MAX_BODIES: Final = {"/v1/events": events.MAX_BYTES}
"""Bytes of a body, of the paths that take large ones."""


def routers(
    pool: Pool,
    executor: Executor[Any, Any],
    publisher: Publisher,
    guard: Guard,
    settings: Settings,
    *,
    reads: Pool,
    clock: Clock = now,
    limit: Limit = without_limit,
) -> Sequence[APIRouter]:
    """All paths of the ledger. `pool` is for commands, `reads` for what only reads.

    `publisher` is also a part of the worker, for it holds a connection to the brokers.
    """
    context = Context(Reads(reads), guard, settings.shards, clock, limit)
    commands = Commands(pool, executor, guard, settings.shards, clock)
    return [  # the busiest paths come first: a request tries the routers in this order
        balance.routes(context),
        redemptions.routes(context, commands),
        holds.routes(context, commands),
        entries.routes(context),
        explanation.routes(context),
        lots.routes(context),
        orders.routes(context),
        quotes.routes(context),
        rewards.routes(context, commands),
        streak_repairs.routes(commands),
        shortfalls.routes(context, commands),
        transfers.routes(context, commands),
        inputs.routes(context),
        events.routes(context, publisher, EventSources(settings.event_sources)),
    ]
