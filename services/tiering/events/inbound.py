"""Records as inputs: registrations and erasures from the shop's profiles, qualifying timelines from the ledger.

Tiering uses few records of either topic. The others are skipped by a search of their bytes, before they are parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from schemas import events
from schemas.events.commerce import MemberErased, MemberRegistered
from schemas.events.points import OrderQualified
from schemas.events.reasons import RefusalReason, Refused
from services.kit import metrics
from services.kit.calendar import to_micros
from services.kit.epoch import version_of
from services.kit.event_sources import EventSources
from services.kit.event_time import check_event_time
from services.kit.kafka import Record, shard_of
from services.kit.money import minor_units
from services.tiering.domain.member import Cause, Enrolment, Erasure, Input, Order, TimelineReceived, order_key
from services.tiering.domain.program import ProgramVersions
from services.tiering.domain.timeline import Entry, canonical

PROFILES: Final = "commerce.profiles.v1"
POINTS: Final = "loyalty.points.v1"
TOPICS: Final = (PROFILES, POINTS)

_ERASED: Final = "commerce.member.erased.v1"
_WANTED: Final = {
    PROFILES: ("commerce.member.registered.v1", _ERASED),
    POINTS: ("loyalty.order.qualified.v1",),
}
"""The event types that tiering reads of each topic."""
_WANTED_BYTES: Final = {topic: tuple([each.encode() for each in wanted]) for topic, wanted in _WANTED.items()}


class Decoder:
    """Makes inputs of records; a record that breaks its contract becomes a dead letter."""

    def __init__(
        self,
        versions: Callable[[], ProgramVersions],
        *,
        shards: int,
        max_event_age_days: int,
        sources: EventSources | None = None,
    ) -> None:
        """`versions` gives the program versions known now, which say how many decimals an amount has. `sources` are
        those that may say the shop's events; by default all."""
        self._versions = versions
        self._sources = sources or EventSources()
        self._shards = shards
        self._max_event_age_days = max_event_age_days

    def __call__(self, record: Record) -> Input | None:
        """A record as an input; None for a record that tiering does not use. Raises Refused."""
        wanted = _WANTED_BYTES[record.topic]
        value = record.value
        if value is None or not (
            any(each in value for each in wanted) or any(content in wanted for _, content in record.headers)
        ):
            return None
        event = events.read_event(value, record.headers, record.key)
        if event["type"] not in _WANTED[record.topic]:
            return None
        if shard_of(event["subject"], self._shards) != record.partition:
            metrics.count("rekeyed_total", topic=record.topic)
        if record.topic == POINTS:
            return self._timeline(cast(OrderQualified, event))
        if event["type"] == _ERASED:
            self._sources.check(event["source"], event["type"])
            return _erasure(event, record)
        return self._enrolment(cast(MemberRegistered, event), record)

    def _timeline(self, event: OrderQualified) -> TimelineReceived:
        data = event["data"]
        time = to_micros(event["time"])
        decimals = self._versions().at(time).decimals
        entries = []
        for index, entry in enumerate(data["timeline"]):
            try:
                amount = minor_units(entry["amount"], decimals)
            except ValueError as broken:
                field = f"data.timeline[{index}].amount"
                raise Refused(RefusalReason.BROKEN_FIELD, field, "not an amount of the program's currency") from broken
            entries.append(Entry(to_micros(entry["at"]), amount, entry["orders"]))
        key = order_key(data["shop"], data["order_id"])
        return TimelineReceived(
            event["subject"],
            key,
            Order(version_of(data), data["event_no"], canonical(entries)),
            Cause(event["type"], event["source"], event["id"], time, key),
        )

    def _enrolment(self, event: MemberRegistered, record: Record) -> Enrolment:
        time = to_micros(event["time"])
        self._sources.check(event["source"], event["type"])
        check_event_time(time, record.appended_at, self._max_event_age_days)
        return Enrolment(event["subject"], Cause(event["type"], event["source"], event["id"], time))


def _erasure(event: MemberErased, record: Record) -> Erasure:
    """A member who asked to be forgotten is forgotten, however late the event arrives."""
    time = to_micros(event["time"])
    check_event_time(time, record.appended_at, max_age_days=None)
    return Erasure(event["subject"], Cause(event["type"], event["source"], event["id"], time))
