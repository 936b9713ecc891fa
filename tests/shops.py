"""Generated shops, one a test, and where the naive model says that their histories lead.

Tests that share a deployment keep apart by their members: `of_shop` names a shop's after the test that tells of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from deploy.shop.day import shop_day
from deploy.shop.events import Event
from services.kit.calendar import Micros, later, to_micros
from services.kit.clock import now
from tests.model.events import MEMBER, Arrival
from tests.model.model import Model
from tests.model.program import DEFAULT

ZONE = ZoneInfo("Asia/Shanghai")


@dataclass(frozen=True)
class Ended:
    """Where a history has led (O6)."""

    net: dict[str, int]
    """By member: what there is, with what expired of it."""
    timelines: dict[str, list[tuple[Micros, int, int]]]
    """By `member shop order`."""
    tiers: dict[str, list[tuple[Micros, str]]]
    """By member."""

    def of(self, shop: Shop) -> Ended:
        """The part of it that is a shop's."""
        mine = f"{shop.name}."
        return Ended(
            {key: value for key, value in self.net.items() if key.startswith(mine)},
            {key: value for key, value in self.timelines.items() if key.startswith(mine)},
            {key: value for key, value in self.tiers.items() if key.startswith(mine)},
        )


@dataclass(frozen=True)
class Shop:
    """A test's own members and all their events, in the order in which these are published."""

    name: str
    events: list[Event]

    @property
    def members(self) -> frozenset[str]:
        """Their ids."""
        return frozenset(event.member_id for event in self.events)

    @property
    def joined(self) -> frozenset[str]:
        """Those that were registered."""
        return frozenset(event.member_id for event in self.events if b"commerce.member.registered.v1" in event.body)

    def parts(self, count: int) -> Iterator[list[Event]]:
        """The events in so many parts, in order."""
        size = -(-len(self.events) // count)
        for start in range(0, len(self.events), size):
            yield self.events[start : start + size]


def of_shop(name: str, members: int, seed: int = 1) -> Shop:
    """Two weeks of a generated shop whose members are called after the test: `name.m-0001`, …"""
    present = datetime.now(UTC)
    events = shop_day(seed=seed, members=members, today=present.astimezone(ZONE).date(), now=to_micros(present))
    return Shop(name, [_renamed(event, f"{name}.{event.member_id}") for event in events])


def _renamed(event: Event, member_id: str) -> Event:
    body = orjson.dumps(orjson.loads(event.body) | {"subject": member_id})
    return event._replace(member_id=member_id, body=body)


def expected(events: Iterable[Event], program: Mapping[str, Any] = DEFAULT) -> Ended:
    """Where the naive model says that a history leads, member by member."""
    by_member: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_member[event.member_id].append(orjson.loads(event.body) | {"subject": MEMBER})  # the model's one member
    ended = Ended({}, {}, {})
    for member_id, own in by_member.items():
        arrived = now()
        result = Model(dict(program)).play(Arrival(event, later(arrived, n)) for n, event in enumerate(own))
        ended.net[member_id] = result.net + result.expired - result.forgiven
        for order_id, order in result.orders.items():
            if order.timeline:
                ended.timelines[f"{member_id}  {order_id}"] = list(order.timeline)
        if result.tiers:
            ended.tiers[member_id] = list(result.tiers)
    return ended
