"""What is generated is current, deterministic, and says what the code checks."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.__main__ import main
from schemas.events import EVENT_TYPES, Refused, parse_event
from schemas.generate import artifacts, asyncapi
from schemas.generate.examples import EXAMPLES
from schemas.generate.json_schema import event_schema, program_schema
from schemas.program import load
from schemas.topics import ALL
from tests.contract.schemas_support import TYPES, example


def test_generated_files_are_current() -> None:
    assert artifacts.stale() == [], "run: make schemas"


def test_a_stale_file_is_found_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artifacts.write(tmp_path)
    assert artifacts.stale(tmp_path) == []
    changed = artifacts.GENERATED / "events" / "commerce.order.paid.v1.json"
    gone = artifacts.GENERATED / "events" / "commerce.order.lost.v1.json"
    (tmp_path / changed).write_text("{}")
    (tmp_path / gone).write_text("{}")
    assert artifacts.stale(tmp_path) == [gone, changed]
    assert artifacts.write(tmp_path) == [gone, changed]
    assert artifacts.stale(tmp_path) == []
    assert main(["check"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", TYPES)
def test_an_example_of_each_type_fits_its_json_schema(kind: str) -> None:
    schema = event_schema(kind)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(example(kind))


def test_there_is_no_example_of_an_unknown_type() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.json")) == TYPES


@pytest.mark.parametrize("name", ["fixed-rate.yaml", "orders-or-spend.yaml"])
def test_program_examples_fit_the_json_schema(name: str) -> None:
    document = load((EXAMPLES / "program" / name).read_text(encoding="utf-8")).document()
    Draft202012Validator.check_schema(program_schema())
    Draft202012Validator(program_schema()).validate(document)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner: list[tuple[Any, Any]] = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(place for step, below in inner for place in places(below, (*path, step)))]


@st.composite
def spoilt_examples(draw: st.DrawFn) -> dict[str, Any]:
    """An example in which one value is another one, or gone."""
    event = deepcopy(example(draw(st.sampled_from(TYPES))))
    place = draw(st.sampled_from([place for place in places(event) if place and place != ("type",)]))
    holder: Any = event
    for step in place[:-1]:
        holder = holder[step]
    if draw(st.booleans()):
        del holder[place[-1]]
        return event
    values: list[Any] = [None, True, 0, 1, 3, -1, 2**53, 2**53 + 1, 1.5, "", "x", "X" * 70, "1.5", "-1.50", "12.34567"]
    values += ["a b", "\u0000", "CNY", "2026-03-02", "2026-03-02T10:15:00Z", "none", "zh-CN", "promo", [], {}]
    holder[place[-1]] = draw(st.sampled_from(values))
    return event


def broken_field(event: dict[str, Any]) -> str | None:
    """The field for which an event is refused; None if it is read."""
    try:
        parse_event(orjson.dumps(event))
    except Refused as refused:
        return refused.field or "the event"
    return None


@given(spoilt_examples())
@settings(max_examples=400, deadline=None)
def test_the_json_schema_and_the_reader_judge_alike(event: dict[str, Any]) -> None:
    by_schema = Draft202012Validator(event_schema(event["type"])).is_valid(event)
    # Beyond what JSON Schema can say: one line named twice, a rating beyond its scale.
    if by_schema:
        assert broken_field(event) in (None, "data.lines", "data")
    else:
        assert broken_field(event) is not None


def test_asyncapi_has_each_topic_and_message_and_resolves() -> None:
    document = asyncapi.document()
    assert list(document["channels"]) == [topic.name for topic in ALL]
    assert set(document["components"]["messages"]) == set(EVENT_TYPES)
    for message in document["components"]["messages"].values():
        reference = Path("schemas/generated") / message["payload"]["$ref"]
        schema = json.loads((artifacts.ROOT / reference).read_text(encoding="utf-8"))
        assert schema["title"] == message["name"]
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
    for operation in document["operations"].values():
        topic = operation["channel"]["$ref"].removeprefix("#/channels/")
        channel = document["channels"][topic]
        assert channel["bindings"]["kafka"]["partitions"] in (1, 16)
        for message in operation["messages"]:
            assert message["$ref"].rpartition("/")[2] in channel["messages"]
