"""Records as inputs: events about people, and the facts of the ledger and tiering that may make a message.

Most records of `loyalty.points.v1` make no message (pending points, timelines, points spent or expired). They are
skipped by a search of their bytes, before they are parsed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from schemas import events
from schemas.topics import BY_NAME
from services.kit import metrics
from services.kit.calendar import Micros, to_micros
from services.kit.epoch import version_of
from services.kit.event_sources import EventSources
from services.kit.event_time import check_event_time
from services.kit.kafka import Record, shard_of
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    Input,
    OccasionReceived,
    ProfileUpdated,
    TierHistoryReceived,
)
from services.notifier.domain.member import PROFILE_FIELDS
from services.notifier.domain.occasions import PointsFact, TierFact, points_occasion, tier_occasion

PROFILES: Final = "commerce.profiles.v1"
POINTS: Final = "loyalty.points.v1"
TIERS: Final = "loyalty.tiers.v1"
TOPICS: Final = (PROFILES, POINTS, TIERS)

_USED_TYPES: Final = {
    POINTS: re.compile(rb"loyalty\.points\.(?:earned|confirmed|clawed_back|redeemed)\.v1"),
    TIERS: re.compile(rb"loyalty\.tier\.(?:enrolled|upgraded|downgraded|kept|overridden)\.v1"),
}
"""The event types of a topic that are used here, as a record contains them somewhere."""
_OF_DEBT: Final = re.compile(rb"loyalty\.points\.(?:clawed_back|redeemed)\.v1")
"""Those of them that are used only where they made debt (S4): most points that are spent were there."""


class Decoder:
    """Makes inputs of records; a record that breaks its contract becomes a dead letter."""

    def __init__(self, *, shards: int, max_event_age_days: int, sources: EventSources | None = None) -> None:
        """`sources` are those that may say the shop's events; by default all."""
        self._shards = shards
        self._sources = sources or EventSources()
        self._max_event_age_days = max_event_age_days

    def __call__(self, record: Record) -> Input | None:
        """A record as an input; None for a record that is not used here. Raises Refused."""
        used_types = _USED_TYPES.get(record.topic)
        if used_types is not None and not _may_be_of(record, used_types):
            return None
        if record.topic == POINTS and b"debt_made" not in (record.value or b"") and _may_be_of(record, _OF_DEBT):
            return None
        event = events.read_event(record.value, record.headers, record.key, types=BY_NAME[record.topic].types)
        if shard_of(event["subject"], self._shards) != record.partition:
            # Its publisher hashes keys in another way; it is booked on its member's shard.
            metrics.count("rekeyed_total", topic=record.topic)
        if record.topic == POINTS:
            return _points(event, record.appended_at)
        if record.topic == TIERS:
            return _tier(event, record.appended_at)
        return self._profile(event, record.appended_at)

    def _profile(self, event: Any, arrived_at: Micros) -> Input | None:
        at = to_micros(event["time"])
        member_id, event_type, data = event["subject"], event["type"], event["data"]
        self._sources.check(event["source"], event_type)
        if event_type == "commerce.member.erased.v1":
            # Never too late: a member who asked to be forgotten is forgotten, however late the event arrives.
            check_event_time(at, arrived_at, max_age_days=None)
            return Erased(member_id, at)
        check_event_time(at, arrived_at, self._max_event_age_days)
        match event_type:
            case "commerce.member.registered.v1" | "commerce.profile.updated.v1":
                return ProfileUpdated(member_id, at, _fields(data))
            case "commerce.consent.changed.v1":
                return ConsentChanged(
                    member_id,
                    at,
                    data["channel"],
                    data["class"],
                    data["granted"],
                    actor=event["source"],
                    evidence=data.get("evidence"),
                )
            case "commerce.device.registered.v1":
                return DeviceRegistered(member_id, at, data["device_id"], data["platform"], data["token"])
        return None


def _may_be_of(record: Record, types: re.Pattern[bytes]) -> bool:
    """Whether a record can be of one of the types, in structured mode (its value) or binary mode (a header)."""
    value = record.value
    return (value is None or types.search(value) is not None) or any(
        types.fullmatch(content) for _, content in record.headers
    )


def _fields(data: dict[str, Any]) -> dict[str, str | None]:
    """The profile fields that an event has, also those it deletes (None)."""
    return {field: None if data[field] is None else str(data[field]) for field in PROFILE_FIELDS if field in data}


def _points(event: Any, arrived_at: Micros) -> OccasionReceived | None:
    kind = event["type"].split(".")[2]
    if kind not in ("earned", "confirmed", "clawed_back", "redeemed"):
        return None
    data = event["data"]
    cause = data["cause"]
    expires_on = data.get("expires_on")
    occasion = points_occasion(
        PointsFact(
            kind=kind,
            at=to_micros(event["time"]),
            points=data["points"],
            available=data["balance"]["available"],
            debt=data["balance"]["debt"],
            debt_made=data.get("debt_made", 0),
            rule=cause.get("rule", ""),
            order_id=cause.get("order_id"),
            shop=cause.get("shop", ""),
            expires_on=None if expires_on is None else expires_on.isoformat(),
        )
    )
    if occasion is None:
        return None
    return OccasionReceived(event["subject"], arrived_at, version_of(data), data["event_no"], occasion)


def _tier(event: Any, arrived_at: Micros) -> TierHistoryReceived | None:
    kind, data = event["type"].split(".")[2], event["data"]
    occasion = None
    if kind in ("enrolled", "upgraded", "downgraded", "kept"):
        fact = TierFact(kind, to_micros(data["effective_at"]), data["tier"], data["previous_tier"])
        occasion = tier_occasion(fact)
    elif kind != "overridden":
        return None
    return TierHistoryReceived(event["subject"], arrived_at, data["tier"], version_of(data), occasion)
