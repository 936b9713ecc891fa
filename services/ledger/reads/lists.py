"""A member's lists, a page at a time and the newest first: orders, holds, redemptions and transfers.

Orders are listed by paid time, those that wait for their `paid` event last. The others are listed by the version of
the account that made them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

from services.kit.calendar import NOT_YET, Micros
from services.kit.kafka import Shard
from services.kit.postgres import Connection
from services.ledger import store
from services.ledger.domain.state.inputs import HoldPoints, RedeemPoints, RedeemReward, SendPoints, decode_input
from services.ledger.domain.state.messages import ReceivePoints
from services.ledger.reads.history import FOREVER
from services.ledger.reads.sql import SQL

ListName = Literal["hold", "redeem", "send"]
I = TypeVar("I", bound=HoldPoints | RedeemPoints | RedeemReward | SendPoints | ReceivePoints)  # noqa: E741


class OrderPlace(NamedTuple):
    """A place in the list of orders. `paid_at` is `NOT_YET` among those that wait for their `paid` event."""

    paid_at: Micros
    ref: str


FIRST_ORDER = OrderPlace(FOREVER, "")


class OrderRow(NamedTuple):
    """An order as it is stored."""

    place: OrderPlace
    state: bytes


async def orders_after(
    tx: Connection, shard: Shard, account: int, place: OrderPlace = FIRST_ORDER, *, limit: int
) -> list[OrderRow]:
    """At most `limit` orders that come after a place in the list, which begins with the one paid last."""
    rows = []
    if place.paid_at != NOT_YET:
        rows = await tx.fetch(SQL.orders_paid_before, shard, account, *place, limit)
    if len(rows) < limit:
        parked_after = place.ref if place.paid_at == NOT_YET else ""
        rows += await tx.fetch(SQL.orders_parked_after, shard, account, parked_after, limit - len(rows))
    return [OrderRow(OrderPlace(row["paid_at"] or NOT_YET, row["ref"]), row["state"]) for row in rows]


async def listed_with_facts(
    tx: Connection, shard: Shard, account: int, name: ListName, version: int, *, key_of: Callable[[I], str], limit: int
) -> tuple[list[tuple[I, bytes]], int | None]:
    """At most `limit` inputs of a list that made versions before one, the newest first, each with the fact of its key.

    Beside them the version before which the next page begins; None: there is none. `I` are the inputs of that list.
    """
    rows = await tx.fetch(SQL.listed_before, shard, account, name, version, limit + 1)
    listed: list[I] = [decode_input(row["input"]) for row in rows[:limit]]  # type: ignore[misc] # the index's
    keys = [key_of(input_) for input_ in listed]
    found = await tx.fetch(store.SQL["facts"], shard, [account] * len(keys), keys) if keys else []
    facts = {row["key"]: row["value"] for row in found}
    more = rows[limit - 1]["version"] if len(rows) > limit else None
    return [(input_, facts[key]) for input_, key in zip(listed, keys, strict=True)], more
