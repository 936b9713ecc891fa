"""Events over HTTP, for publishers without Kafka: checked at once, then written to the topics of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response, Security
from pydantic import BaseModel, Field

from schemas.events import MAX_EVENT_BYTES, Event, RefusalReason, Refused, parse_event
from schemas.topics import TOPIC_OF
from services.kit.auth import Caller
from services.kit.calendar import Micros, rfc3339, to_micros
from services.kit.event_sources import EventSources
from services.kit.event_time import check_event_time
from services.kit.problem import FORBIDDEN, MALFORMED, UNAVAILABLE, Problem, kind, responses
from services.ledger.api.context import Context
from services.ledger.api.publisher import BrokersUnavailable, Message, Publisher
from services.ledger.domain.program.program import Program
from services.ledger.events.inbound import input_of

EVENT_REFUSED: Final = kind("event-refused", "An event breaks the contract", 422)
MEDIA_TYPE_UNKNOWN: Final = kind("media-type-unknown", "Send CloudEvents in JSON", 415)
TOO_LARGE: Final = kind("too-large", "The request is too large", 413)

SINGLE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
MAX_EVENTS: Final = 1000
MAX_BYTES: Final = 1024 * 1024

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            SINGLE: {"schema": {"type": "object", "description": "A CloudEvent 1.0 of one of the shop's types."}},
            BATCH: {"schema": {"type": "array", "items": {"type": "object"}, "maxItems": MAX_EVENTS}},
        },
    }
}


class Accepted(BaseModel):
    """An event that the brokers have taken."""

    subject: str
    source: str
    id: str
    time: str
    topic: str


class AcceptedOut(BaseModel):
    """The events that were published. `GET /v1/inputs` has the outcome of each."""

    events: list[Accepted] = Field(description="In the order of the request.")


def routes(context: Context, publisher: Publisher, sources: EventSources) -> APIRouter:
    """POST /v1/events"""
    router = APIRouter(tags=["inputs"])
    writer: Any = Security(context.guard, scopes=["events:write"])

    @router.post(
        "/v1/events",
        status_code=202,
        response_model=AcceptedOut,
        openapi_extra=_BODY,
        responses=responses(MALFORMED, FORBIDDEN, TOO_LARGE, MEDIA_TYPE_UNKNOWN, EVENT_REFUSED, UNAVAILABLE),
        summary="Publish one event or a batch",
    )
    async def events(request: Request, caller: Caller = writer) -> Response:
        """All events of a batch are published, or none: if one is refused, no other is.

        Sending the same event again does no harm, so repeat the request after a 503 or a lost answer.
        """
        sent = _split(request.headers.get("content-type", ""), await _body(request))
        check = _Check(caller, sources, await context.reads.newest_program(), context.clock())
        checked = check.all(sent)
        topics = [TOPIC_OF[event["type"]].name for event in checked]
        messages = [
            Message(topic, event["subject"].encode(), raw)
            for topic, event, raw in zip(topics, checked, sent, strict=True)
        ]
        try:
            await publisher.publish(messages)
        except BrokersUnavailable:
            raise Problem(
                UNAVAILABLE,
                "The brokers cannot be reached. Send the same request again: no event is booked twice.",
                headers={"Retry-After": "5"},
            ) from None
        accepted = [_accepted_json(event, topic) for event, topic in zip(checked, topics, strict=True)]
        return Response(orjson.dumps({"events": accepted}), 202, media_type="application/json")

    return router


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise Problem(TOO_LARGE, f"A request has at most {MAX_BYTES} bytes: send smaller batches.")
    return bytes(body)


def _split(content_type: str, body: bytes) -> list[bytes]:
    """The events of a request, each as JSON."""
    match content_type.partition(";")[0].strip().lower():
        case "application/cloudevents+json":
            return [body]
        case "application/cloudevents-batch+json":
            try:
                batch = orjson.loads(body)
            except orjson.JSONDecodeError:
                raise Problem(MALFORMED, "The body is not JSON.") from None
            if not isinstance(batch, list) or not batch:
                raise Problem(MALFORMED, "A batch is a JSON array of at least one event.")
            if len(batch) > MAX_EVENTS:
                raise Problem(TOO_LARGE, f"A batch has at most {MAX_EVENTS} events: send smaller batches.")
            return [_rendered(event) for event in batch]
        case _:
            raise Problem(MEDIA_TYPE_UNKNOWN, f"The content type is {SINGLE}, or {BATCH} for several.")


def _rendered(event: Any) -> bytes:
    """One event of a batch, as JSON; empty, and so refused, where it is nested deeper than can be written."""
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        return b""


@dataclass(frozen=True)
class _Check:
    """What the events of a request are checked by: as the consumers will read them, and by what the caller may publish.

    Currency and decimals need the program: while it is not known here, the consumers alone check them.
    """

    caller: Caller
    sources: EventSources
    program: Program | None
    now: Micros

    def all(self, sent: list[bytes]) -> list[Event]:
        """The events of a request, parsed. Raises Problem 422 with all that are refused, 403."""
        events: list[Event] = []
        faults: list[dict[str, str]] = []
        for index, raw in enumerate(sent):
            try:
                events.append(self.one(raw))
            except Refused as refused:
                place = f"[{index}]" if len(sent) > 1 else ""
                field = ".".join(part for part in (place, refused.field) if part)
                faults.append({"field": field, "detail": refused.detail, "reason": refused.reason.value})
        if faults:
            raise Problem(
                EVENT_REFUSED,
                f"{faults[0]['detail']}. Nothing was published.",
                field=faults[0]["field"] or None,
                reason=faults[0]["reason"],
                errors=faults,
            )
        return events

    def one(self, raw: bytes) -> Event:
        """An event, parsed. Raises Refused where the consumers would refuse it, Problem 403 and 404."""
        if len(raw) > MAX_EVENT_BYTES:
            raise Refused(RefusalReason.TOO_LARGE, None, f"An event has at most {MAX_EVENT_BYTES} bytes")
        event = parse_event(raw)
        if TOPIC_OF[event["type"]].writer != "shop":
            raise Refused(RefusalReason.UNKNOWN_TYPE, "type", "The shop does not publish this type")
        self._check_caller(event)
        self.sources.check(event["source"], event["type"])
        check_event_time(to_micros(event["time"]), self.now)
        if self.program is not None:
            input_of(event, self.program.currency, self.program.decimals)
        return event

    def _check_caller(self, event: Event) -> None:
        """Refuse sources and types that the credential does not name, and other members than the token's."""
        self.caller.require_member(event["subject"])
        if not self.caller.may_publish(event["source"], event["type"]):
            raise Problem(
                FORBIDDEN,
                f"This credential may not publish {event['type']} of {event['source']}: its claims sources and types "
                "must list them. Nothing was published.",
            )


def _accepted_json(event: Event, topic: str) -> dict[str, str]:
    return {
        "subject": event["subject"],
        "source": event["source"],
        "id": event["id"],
        "time": rfc3339(to_micros(event["time"])),
        "topic": topic,
    }
