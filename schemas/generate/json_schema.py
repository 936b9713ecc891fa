"""JSON Schema (draft 2020-12) of every event type and of the program document."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from schemas.events import EVENT_TYPES
from schemas.generate.descriptions import field_words
from schemas.program import Program

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
# Names by which a document spells a field that Python cannot.
_SPELLED: Final = {"class": "message_class", "from": "starts", "to": "ends"}


@cache
def event_schema(event_type: str) -> Schema:
    """The schema of an event, attributes and data. KeyError for a type that the contracts do not know."""
    event = EVENT_TYPES[event_type]
    schema = TypeAdapter(event).json_schema()
    return _finished(schema, f"urn:loyalty:schema:{event_type}", event.__name__, event_type)


@cache
def program_schema() -> Schema:
    """The schema of the program document: all that may be said, built or not."""
    schema = Program.model_json_schema(by_alias=True)
    return _finished(schema, "urn:loyalty:schema:program", "Program", "The program document")


def _finished(schema: Schema, identity: str, name: str, title: str) -> Schema:
    for part_name, part in [(name, schema), *schema.get("$defs", {}).items()]:
        part.pop("title", None)
        part["description"] = " ".join(part.get("description", "").split())
        for field, value in part.get("properties", {}).items():
            _without_titles(value)
            if words := field_words(part_name, field) or field_words(part_name, _SPELLED.get(field, "")):
                value["description"] = words
    words = schema.pop("description")
    return {"$schema": _DIALECT, "$id": identity, "title": title, "description": words, **schema}


def _without_titles(value: Any) -> None:
    """pydantic's titles only repeat the fields' names."""
    if isinstance(value, dict):
        if isinstance(value.get("title"), str):
            del value["title"]
        for inner in value.values():
            _without_titles(inner)
    elif isinstance(value, list):
        for inner in value:
            _without_titles(inner)
