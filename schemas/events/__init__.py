"""Every event of the contracts, in and out, as code; JSON Schema and AsyncAPI are generated from here.

Events are TypedDicts, so that reading one costs no object but a plain dict, and rendering one needs no model.
`read_event` reads a Kafka record, `parse_event` a CloudEvent's JSON; both raise `Refused` with a `Reason`.
"""

from schemas.events.commerce import CommerceEvent
from schemas.events.internal import InternalEvent
from schemas.events.notify import NotifyEvent
from schemas.events.operations import OperationsEvent
from schemas.events.points import PointsEvent
from schemas.events.reading import (
    EVENT_TYPES,
    KEYED_OTHERWISE,
    MAX_EVENT_BYTES,
    Event,
    parse_event,
    read_event,
    render_event,
)
from schemas.events.reasons import RefusalReason, Refused
from schemas.events.tiers import TierEvent

__all__ = [
    "EVENT_TYPES",
    "KEYED_OTHERWISE",
    "MAX_EVENT_BYTES",
    "CommerceEvent",
    "Event",
    "InternalEvent",
    "NotifyEvent",
    "OperationsEvent",
    "PointsEvent",
    "RefusalReason",
    "Refused",
    "TierEvent",
    "parse_event",
    "read_event",
    "render_event",
]
