"""Makes inputs of records: parses each once, and checks its currency, its subject, its source and its time.

A record on another shard's partition is not parsed here: it is passed on to its own shard.
"""

from __future__ import annotations

from typing import Final

from schemas.events import RefusalReason, Refused, read_event
from schemas.events.reading import MAX_EVENT_BYTES
from schemas.topics import ALL
from services.kit import metrics
from services.kit.dead_letter import ORIGIN_HEADER
from services.kit.event_sources import EventSources
from services.kit.event_time import MAX_EVENT_AGE_DAYS, check_event_time
from services.kit.kafka import Record, partition_of
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.inputs import Erased
from services.ledger.domain.state.messages import AccountMessage
from services.ledger.domain.state.refs import OWN
from services.ledger.events.inbound import input_of
from services.ledger.events.internal import INTERNAL
from services.ledger.executor import Ledger
from services.ledger.inputs import MemberInput, MemberMessage, Misrouted
from services.ledger.lost_future import sender_of

COMMERCE: Final = (
    "commerce.orders.v1",
    "commerce.signins.v1",
    "commerce.reviews.v1",
    "commerce.profiles.v1",
    "commerce.activities.v1",
)
TIERS: Final = "loyalty.tiers.v1"
TOPICS: Final = (*COMMERCE, TIERS, INTERNAL)
MAX_SENT_ON: Final = 16 * 1024
"""Bytes of key and headers of a record that is sent on to its shard."""
_TYPES: Final = {topic.name: topic.accepted for topic in ALL if topic.name in TOPICS}


class Decoder:
    """Makes inputs of records; a record that breaks its contract becomes a dead letter."""

    def __init__(self, ledger: Ledger, shards: int, sources: EventSources | None = None) -> None:
        """`sources` are those that may say the shop's events; by default all."""
        self._ledger = ledger
        self._shards = shards
        self._sources = sources or EventSources()

    def __call__(self, record: Record) -> MemberInput | Misrouted | Refused | None:
        """A record as an input; None for an event that the ledger does not use."""
        key = record.key
        if key is not None and partition_of(key, self._shards) != record.partition and record.topic != INTERNAL:
            return _misrouted(record, key)
        try:
            event = read_event(record.value, record.headers, key, types=_TYPES[record.topic])
            program = self._ledger.programs.newest
            input_ = input_of(event, program.currency, program.decimals, self._ledger.programs.need)
            if input_ is None:
                return None
            if event["type"].startswith("commerce."):
                if event["subject"].startswith(OWN):
                    raise Refused(
                        RefusalReason.BROKEN_FIELD,
                        "subject",
                        f"ids that begin with {' or '.join(OWN)} are the ledger's own",
                    )
                self._sources.check(event["source"], event["type"])
                # A member who asked to be forgotten is forgotten, however late the event arrives.
                max_age_days = None if isinstance(input_, Erased) else MAX_EVENT_AGE_DAYS
                check_event_time(input_.at, record.appended_at, max_age_days)
        except Refused as refused:
            return refused
        member_id = event["subject"]
        arrival = Arrival(digest_of(member_id, input_.source, input_.id), input_, record.appended_at)
        if isinstance(input_, AccountMessage):
            return MemberMessage(member_id, arrival, sender_of(record.headers))
        return MemberInput(member_id, arrival)


def _misrouted(record: Record, key: bytes) -> Misrouted | Refused:
    """What is sent on to the key's own shard. What no shard would take, or the brokers, is refused here."""
    if record.value is None:
        return Refused(RefusalReason.NOT_PARSABLE, None, "the record has no value")
    size = len(record.value)
    if size > MAX_EVENT_BYTES or record.size - size > MAX_SENT_ON:
        limit = f"{MAX_EVENT_BYTES}, and {MAX_SENT_ON} for key and headers"
        return Refused(RefusalReason.TOO_LARGE, None, f"{record.size} bytes; the limit is {limit}")
    metrics.count("rekeyed_total", topic=record.topic)
    theirs = (header for header in record.headers if header[0] != ORIGIN_HEADER)
    return Misrouted(key, record.value, (*theirs, (ORIGIN_HEADER, record.place.encode())))
