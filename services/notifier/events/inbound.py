"""Records as inputs: what is told about people, and the facts of the ledger and tiering that are told to them.

Most of `loyalty.points.v1` makes no message (pending points, timelines, what was spent or expired): such records
are passed over by a look at their bytes, before anything is parsed.
"""

from __future__ import annotations

import re
from typing import Any, Final

from schemas import events
from schemas.events.reasons import RefusalReason, Refused
from schemas.topics import BY_NAME
from services.kit import metrics
from services.kit.calendar import MICROS_PER_SECOND, Micros, to_micros
from services.kit.kafka import Record, shard_of
from services.notifier.domain.inputs import (
    ConsentChanged,
    DeviceRegistered,
    Erased,
    Happened,
    Input,
    ProfileUpdated,
    TierHistoryReceived,
)
from services.notifier.domain.member import PROFILE_FIELDS
from services.notifier.domain.touchpoint import PointsFact, TierFact, points_occasion, tier_occasion

PROFILES: Final = "commerce.profiles.v1"
POINTS: Final = "loyalty.points.v1"
TIERS: Final = "loyalty.tiers.v1"
TOPICS: Final = (PROFILES, POINTS, TIERS)

_TOLD: Final = {
    POINTS: re.compile(rb"loyalty\.points\.(?:earned|confirmed|clawed_back)\.v1"),
    TIERS: re.compile(rb"loyalty\.tier\.(?:enrolled|upgraded|downgraded|kept|overridden)\.v1"),
}
"""What a record of a topic has in it somewhere if it is of use here."""

_MICROS_PER_DAY: Final = 86_400 * MICROS_PER_SECOND
_AHEAD_AT_MOST: Final = 5 * 60 * MICROS_PER_SECOND
"""How far a business time may lie after its arrival (clocks differ)."""


class Decoder:
    """Makes inputs of records; what the contracts refuse becomes a dead letter."""

    def __init__(self, *, shards: int, max_event_age_days: int) -> None:
        self._shards = shards
        self._max_age = max_event_age_days * _MICROS_PER_DAY

    def __call__(self, record: Record) -> Input | Refused | None:
        """A record as an input; None for what makes no message."""
        told = _TOLD.get(record.topic)
        if told is not None and not _holds(record, told):
            return None
        try:
            event = events.read_event(record.value, record.headers, record.key, types=BY_NAME[record.topic].types)
        except Refused as refused:
            return refused
        if shard_of(event["subject"], self._shards) != record.partition:
            # Its publisher hashes keys in its own way; it is booked where its member is.
            metrics.count("rekeyed_total", topic=record.topic)
        if record.topic == POINTS:
            return _points(event, record.appended_at)
        if record.topic == TIERS:
            return _tier(event, record.appended_at)
        return self._profile(event, record.appended_at)

    def _profile(self, event: Any, now: Micros) -> Input | Refused | None:
        at = to_micros(event["time"])
        if at > now + _AHEAD_AT_MOST:
            return Refused(
                RefusalReason.IN_FUTURE, "time", "its business time is more than 5 minutes after its arrival"
            )
        member_id, kind, data = event["subject"], event["type"], event["data"]
        if kind == "commerce.member.erased.v1":
            # Never too late: whoever asked to be forgotten is forgotten, however long the word took.
            return Erased(member_id, at)
        if at < now - self._max_age:
            return Refused(RefusalReason.TOO_LATE, "time", "its business time is longer ago than events are taken for")
        match kind:
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


def _holds(record: Record, wanted: re.Pattern[bytes]) -> bool:
    """Whether a record can be of a wanted type, in structured mode (its value) or binary mode (a header)."""
    value = record.value
    return (value is None or wanted.search(value) is not None) or any(
        wanted.fullmatch(content) for _, content in record.headers
    )


def _fields(data: dict[str, Any]) -> dict[str, str | None]:
    return {
        field: None if value is None else str(value)
        for field in PROFILE_FIELDS
        if (value := data.get(field, _UNKNOWN)) is not _UNKNOWN
    }


_UNKNOWN: Final = object()


def _points(event: Any, now: Micros) -> Happened | None:
    kind = event["type"].split(".")[2]
    if kind not in ("earned", "confirmed", "clawed_back"):
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
    return Happened(event["subject"], now, data["member_version"], data["event_no"], occasion)


def _tier(event: Any, now: Micros) -> TierHistoryReceived | None:
    kind, data = event["type"].split(".")[2], event["data"]
    occasion = None
    if kind in ("enrolled", "upgraded", "downgraded", "kept"):
        fact = TierFact(kind, to_micros(data["effective_at"]), data["tier"], data["previous_tier"])
        occasion = tier_occasion(fact)
    elif kind != "overridden":
        return None
    return TierHistoryReceived(event["subject"], now, data["tier"], data["member_version"], occasion)
