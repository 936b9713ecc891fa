"""What spans shards, looked at again: `verify` reads each shard in a snapshot of its own, a moment after another.

A transfer that was sent behind the snapshot of its sender's shard, and arrived before that of its receiver's, looks as
if it had arrived without having been sent. So what is in doubt after all shards were read, and can have moved
meanwhile, is asked again, by key and in one short snapshot. All else that does not hold is a fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.kit.calendar import MICROS_PER_SECOND, Micros
from services.kit.kafka import Shard, shard_of
from services.kit.postgres import Connection
from services.ledger.audit.budgets import Budgets
from services.ledger.audit.shard import SQL, Report
from services.ledger.audit.transfers import Transit
from services.ledger.domain.state.budgets import decode_allotment
from services.ledger.domain.state.fact_keys import ALLOTMENT, ARRIVAL, TRANSFER
from services.ledger.domain.state.orders import decode_order
from services.ledger.domain.state.transfers import decode_arrived, decode_transfer
from services.ledger.reads.history import facts_of

CLOCK_SECONDS: Final = 60
"""How far the clocks of services may be apart; what was booked so long before the audit began was read in full."""


async def settle_doubts(tx: Connection, report: Report, began: Micros, shards: int) -> None:
    """Completes a report of all shards by what moved between them since the audit began."""
    since = Micros(began - CLOCK_SECONDS * MICROS_PER_SECOND)
    await _settle_unsent(tx, report.transit, since, shards)
    await _settle_not_arrived(tx, report.transit, since, shards)
    await _settle_budgets(tx, report.budgets, shards)


async def _settle_unsent(tx: Connection, transit: Transit, since: Micros, shards: int) -> None:
    """Adds the senders' halves of transfers of which only the receivers' was read."""
    names = [name for name, points in transit.left.items() if points < 0]
    for row in await tx.fetch(SQL.facts_by_public_id, list(range(shards)), [TRANSFER + name for name in names]):
        transfer = decode_transfer(row["value"])
        if transfer.made_at >= since:
            transit.count(row["key"].removeprefix(TRANSFER), transfer.points, transfer.state == "done")


async def _settle_not_arrived(tx: Connection, transit: Transit, since: Micros, shards: int) -> None:
    """Adds the receivers' halves of transfers that are done for their senders and were not read at their receivers."""
    names = sorted(transit.done)
    sent = await tx.fetch(SQL.facts_by_public_id, list(range(shards)), [TRANSFER + name for name in names])
    keys: list[tuple[int, str, str]] = []
    for row in sent:
        transfer = decode_transfer(row["value"])
        if transfer.arrived_at >= since:
            name = row["key"].removeprefix(TRANSFER)
            keys.append((shard_of(transfer.to, shards), transfer.to, ARRIVAL + name))
    for (*_, key), raw in zip(keys, await facts_of(tx, keys), strict=True):
        if raw is not None:
            transit.count(key.removeprefix(ARRIVAL), -decode_arrived(raw).points, False)


async def _settle_budgets(tx: Connection, budgets: Budgets, shards: int) -> None:
    """Reads again what orders have beyond what they were given: both sides, as they are now."""
    doubts = [name for name, points in budgets.left.items() if points < 0]
    granted = await facts_of(tx, [_allotment(name, shards) for name in doubts])
    for name, raw in zip(doubts, granted, strict=True):
        given = decode_allotment(raw).granted if raw is not None else 0
        budgets.replace(name, given - await _booked(tx, name, shards))


def _allotment(name: str, shards: int) -> tuple[Shard, str, str]:
    order, _, account = name.rpartition(" of ")
    return shard_of(account, shards), account, ALLOTMENT + order


async def _booked(tx: Connection, name: str, shards: int) -> int:
    order, _, account = name.rpartition(" of ")
    member_id, _, ref = order.partition("/")
    states: Sequence[bytes] = [
        row["state"] for row in await tx.fetch(SQL.order_state, shard_of(member_id, shards), member_id, ref)
    ]
    return sum(share.granted for state in states for share in decode_order(state).shares if share.account == account)
