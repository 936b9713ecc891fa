"""The topics and their messages as an AsyncAPI 3 document, seen from this system."""

from __future__ import annotations

from typing import Any

from schemas.events import EVENT_TYPES, KEYED_OTHERWISE
from schemas.generate.examples import event_example
from schemas.generate.json_schema import event_schema
from schemas.topics import ALL, SHARDS, TOPIC_OF, Topic

_KAFKA_BINDING = "0.5.0"


def document() -> dict[str, Any]:
    """The whole document; payloads are references to the JSON Schemas beside it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Points ledger",
            "version": "1.0.0",
            "description": "Events in and out of the loyalty services, as CloudEvents 1.0 on Kafka.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in ALL},
        "operations": {_operation_name(topic): _operation(topic) for topic in ALL},
        "components": {"messages": {kind: _message(kind) for kind in sorted(EVENT_TYPES)}},
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"Written by {_WRITERS[topic.writer]}.",
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in (*topic.types, *topic.sent_on)},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partition_count(SHARDS),
                "topicConfiguration": {
                    "cleanup.policy": [topic.cleanup],
                    "retention.ms": topic.retention_ms,
                },
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


_WRITERS = {
    "shop": "the shop's backend",
    "gateways": "the message gateways",
    "ledger": "the ledger",
    "tiering": "tiering",
    "notifier": "the notifier",
    "services": "any of the services",
}


def _operation_name(topic: Topic) -> str:
    return f"{'receive' if topic.inbound else 'send'}.{topic.name}"


def _operation(topic: Topic) -> dict[str, Any]:
    channel = f"#/channels/{topic.name}"
    return {
        "action": "receive" if topic.inbound else "send",
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{kind}"} for kind in (*topic.types, *topic.sent_on)],
    }


def _message(kind: str) -> dict[str, Any]:
    schema = event_schema(kind)
    return {
        "name": kind,
        "title": EVENT_TYPES[kind].__name__,
        "summary": schema["description"],
        "contentType": "application/cloudevents+json",
        "payload": {"$ref": f"./events/{kind}.json"},
        "bindings": {"kafka": {"key": _key(kind), "bindingVersion": _KAFKA_BINDING}},
        "examples": [{"name": "example", "payload": event_example(kind)}],
    }


def _key(kind: str) -> dict[str, Any]:
    if kind in KEYED_OTHERWISE:
        return {"type": "string", "description": _OTHER_KEYS[kind]}
    subject = event_schema(kind)["properties"]["subject"]
    whose = "the member's id" if TOPIC_OF[kind].member_keyed else "the subject"
    return {"type": "string", "pattern": subject["pattern"], "description": f"The event's subject: {whose}."}


_OTHER_KEYS = {
    "loyalty.program.published.v1": "The program's version.",
    "loyalty.ledger.checkpoint.v1": "The ledger's name.",
    "loyalty.dead_letter.recorded.v1": "The refused record's `topic:partition:offset`.",
    "loyalty.day.closed.v1": "The local day; the record's partition is the one it speaks of.",
}
