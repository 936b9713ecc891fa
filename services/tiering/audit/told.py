"""Are the timelines that tiering holds those that the ledger told? The ledger's come from `timelines`, a line each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby, islice
from typing import Any, Final

import orjson

from services.kit.calendar import parse_rfc3339
from services.kit.epoch import version_of
from services.kit.kafka import shard_of
from services.kit.money import minor_units
from services.kit.postgres import Connection
from services.tiering import store
from services.tiering.domain.member import Order, OrderKey, order_key, split_key
from services.tiering.domain.timeline import Entry, canonical

BLOCK: Final = 500
"""Members that are read at once."""
MAX_LATE: Final = 10_000
"""Members with differences that are looked at again; more than that are not late."""
TIMEOUT_SECONDS: Final = 15.0
"""How long what was told may be on its way."""

Timelines = dict[OrderKey, tuple[int, tuple[Entry, ...]]]
"""What was told of a member's orders: each with the member's version then, over epochs as well."""


@dataclass(slots=True)
class Comparison:
    """Orders that were told, orders of which tiering knows a newer telling, and what does not agree."""

    told: int = 0
    newer: int = 0
    faults: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, int]:
        """The counts, as the report has them."""
        return {"told": self.told, "newer": self.newer}


async def compare_timelines(
    tx: Connection, lines: Iterable[bytes], shards: int, decimals: int, *, seconds: float = TIMEOUT_SECONDS
) -> Comparison:
    """Compare every order that was told with what is stored; what differs is looked at again until it had the time to
    arrive. `lines` have each member's orders one after the other; they are read as they come."""
    compared = Comparison()
    late: dict[str, Timelines] = {}
    members = _members(lines, decimals)
    while block := dict(islice(members, BLOCK)):
        compared.told += sum(map(len, block.values()))
        differing = await _differences(tx, block, shards, compared)
        if len(late) < MAX_LATE:
            late.update({member_id: block[member_id] for member_id in differing})
        else:
            compared.faults += [fault for faults in differing.values() for fault in faults]
    compared.faults += await _that_stay(tx, late, shards, seconds)
    return compared


async def _that_stay(tx: Connection, late: dict[str, Timelines], shards: int, seconds: float) -> list[str]:
    """The differences that are still there after so many seconds."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    while late:
        differing: dict[str, list[str]] = {}
        members = iter(late.items())
        while block := dict(islice(members, BLOCK)):
            differing |= await _differences(tx, block, shards, Comparison())
        if loop.time() >= ends:
            return [fault for faults in differing.values() for fault in faults]
        late = {member_id: late[member_id] for member_id in differing}
        await asyncio.sleep(min(1.0, max(0.0, ends - loop.time())) if late else 0)
    return []


async def _differences(
    tx: Connection, block: Mapping[str, Timelines], shards: int, compared: Comparison
) -> dict[str, list[str]]:
    """By member, what does not agree, in words; members of whom all agrees are not in it."""
    by_shard: dict[int, list[str]] = {}
    for member_id in block:
        by_shard.setdefault(shard_of(member_id, shards), []).append(member_id)
    found: dict[str, list[str]] = {}
    for shard, member_ids in by_shard.items():
        held = await store.orders_of(tx, shard, member_ids)  # type: ignore[arg-type] # a shard by its number
        for member_id in member_ids:
            if faults := list(_faults(block[member_id], held.get(member_id, {}), compared)):
                found[member_id] = [f"{member_id}: {fault}" for fault in faults]
    return found


def _faults(told: Timelines, held: Mapping[OrderKey, Order], compared: Comparison) -> Iterator[str]:
    for key, (version, entries) in told.items():
        order = held.get(key)
        if order is None:
            yield f"order {_named(key)} was told, and is not known here"
        elif order.version > version:
            compared.newer += 1
        elif order.entries != entries:
            yield f"order {_named(key)} was told as {_in_words(entries)}, and is held as {_in_words(order.entries)}"
    newest = max(version for version, _ in told.values())
    for key in held.keys() - told.keys():
        if held[key].version <= newest:
            yield f"order {_named(key)} is held, and was never told"
        else:
            compared.newer += 1


def _members(lines: Iterable[bytes], decimals: int) -> Iterator[tuple[str, Timelines]]:
    """Each member with what was told of its orders."""
    documents = map(orjson.loads, lines)
    for member_id, of_member in groupby(documents, key=lambda document: str(document["member_id"])):
        yield (
            member_id,
            {
                order_key(each["shop"], each["order_id"]): (version_of(each), _entries(each, decimals))
                for each in of_member
            },
        )


def _entries(document: Mapping[str, Any], decimals: int) -> tuple[Entry, ...]:
    return canonical(
        Entry(parse_rfc3339(entry["at"]), minor_units(entry["amount"], decimals), entry["orders"])
        for entry in document["timeline"]
    )


def _named(key: OrderKey) -> str:
    return "/".join(split_key(key))


def _in_words(entries: tuple[Entry, ...]) -> str:
    return "; ".join(f"{entry.amount:+} and {entry.orders:+} at {entry.at}" for entry in entries) or "nothing"
