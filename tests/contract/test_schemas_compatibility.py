"""A change that breaks a published event type is refused, with its place and the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from schemas import published
from schemas.__main__ import main
from schemas.compatibility import breaking_changes
from schemas.events import EVENT_TYPES
from schemas.generate.json_schema import event_schema
from schemas.topics import TOPIC_OF

PAID = "commerce.order.paid.v1"
UPGRADED = "loyalty.tier.upgraded.v1"
Change = Callable[[dict[str, Any]], object]


def part(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"][name]
    return found


def paths(kind: str, change: Change, *, inbound: bool) -> list[str]:
    before = event_schema(kind)
    after = deepcopy(before)
    change(after)
    return [breaking.path for breaking in breaking_changes(before, after, inbound=inbound)]


BREAKING_INBOUND: list[tuple[str, Change, str]] = [
    ("a field is removed", lambda s: part(s, "OrderLine")["properties"].pop("cost"), "data.lines[].cost"),
    ("a field is required", lambda s: part(s, "OrderLine")["required"].append("category"), "data.lines[].category"),
    (
        "a new field is required",
        lambda s: (
            part(s, "OrderPaidData")["properties"].update(gift={"type": "string"}),
            part(s, "OrderPaidData")["required"].append("gift"),
        ),
        "data.gift",
    ),
    (
        "a pattern changes",
        lambda s: part(s, "OrderLine")["properties"]["amount"].update(pattern="^[0-9]+$"),
        "data.lines[].amount",
    ),
    (
        "a choice of types is cut",
        lambda s: part(s, "OrderLine")["properties"].update(quantity={"type": "integer"}),
        "data.lines[].quantity",
    ),
    ("a type changes", lambda s: part(s, "OrderPaidData")["properties"]["tax"].update(type="number"), "data.tax"),
    (
        "a bound tightens",
        lambda s: part(s, "OrderPaidData")["properties"]["points_used"].update(maximum=1000),
        "data.points_used",
    ),
    ("a bound comes", lambda s: part(s, "OrderPaidData")["properties"]["lines"].update(maxItems=9), "data.lines"),
    (
        "values are listed",
        lambda s: part(s, "OrderPaidData")["properties"]["channel"].update(enum=["app"]),
        "data.channel",
    ),
    ("an attribute is required", lambda s: s["required"].append("datacontenttype"), "datacontenttype"),
    ("no further fields", lambda s: part(s, "OrderPaidData").update(additionalProperties=False), "data"),
    (
        "something unknown to the check",
        lambda s: part(s, "OrderPaidData").update(dependentRequired={"tax": ["cost"]}),
        "data",
    ),
]

FINE_INBOUND: list[tuple[str, Change]] = [
    ("a field comes", lambda s: part(s, "OrderPaidData")["properties"].update(gift={"type": "string"})),
    ("a field becomes optional", lambda s: part(s, "OrderLine")["required"].remove("quantity")),
    ("a pattern goes", lambda s: part(s, "OrderLine")["properties"]["amount"].pop("pattern")),
    ("a bound widens", lambda s: part(s, "OrderPaidData")["properties"]["points_used"].update(maximum=2**60)),
    (
        "a choice of types grows",
        lambda s: part(s, "OrderLine")["properties"]["quantity"]["anyOf"].append({"type": "boolean"}),
    ),
    ("words change", lambda s: part(s, "OrderLine").update(description="Other words.")),
]

BREAKING_OUTBOUND: list[tuple[str, Change, str]] = [
    ("a field is removed", lambda s: part(s, "TierStanding")["properties"].pop("orders"), "data.orders"),
    ("a field is optional", lambda s: part(s, "TierStanding")["required"].remove("history"), "data.history"),
    (
        "a type widens",
        lambda s: part(s, "TierStanding")["properties"]["orders"].update(type=["integer", "null"]),
        "data.orders",
    ),
    (
        "a bound widens",
        lambda s: part(s, "TierStanding")["properties"]["orders"].update(minimum=-1),
        "data.orders",
    ),
    (
        "what is on the topics lacks it",
        lambda s: (
            part(s, "TierStanding")["properties"].update(gap={"type": "string"}),
            part(s, "TierStanding")["required"].append("gap"),
        ),
        "data.gap",
    ),
    (
        "another alternative",
        lambda s: part(s, "TierStanding")["properties"].update(
            tier={"anyOf": [part(s, "TierStanding")["properties"]["tier"], {"type": "null"}]}
        ),
        "data.tier",
    ),
]


@pytest.mark.parametrize(("what", "change", "path"), BREAKING_INBOUND)
def test_a_breaking_change_of_what_we_read_is_refused(what: str, change: Change, path: str) -> None:
    assert path in paths(PAID, change, inbound=True), what


@pytest.mark.parametrize(("what", "change"), FINE_INBOUND)
def test_a_change_that_takes_all_that_was_valid_is_no_breach(what: str, change: Change) -> None:
    assert paths(PAID, change, inbound=True) == [], what


@pytest.mark.parametrize(("what", "change", "path"), BREAKING_OUTBOUND)
def test_a_breaking_change_of_what_we_write_is_refused(what: str, change: Change, path: str) -> None:
    assert path in paths(UPGRADED, change, inbound=False), what


def test_an_optional_field_more_is_no_breach_of_what_we_write() -> None:
    def change(schema: dict[str, Any]) -> None:
        part(schema, "TierStanding")["properties"]["valid_until"] = {"type": "string"}

    assert paths(UPGRADED, change, inbound=False) == []


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_a_schema_is_compatible_with_itself(kind: str) -> None:
    assert breaking_changes(event_schema(kind), event_schema(kind), inbound=TOPIC_OF[kind].inbound) == []


def test_published_versions_are_kept() -> None:
    assert published.broken() == {}


def test_codes_of_a_set_that_grows_may_come_and_never_go(tmp_path: Path) -> None:
    kind = "loyalty.dead_letter.recorded.v1"
    for codes, breaks in ((["conflict"], False), (["conflict", "gone"], True)):
        schema = deepcopy(event_schema(kind))
        part(schema, "RefusalReason")["enum"] = codes
        (tmp_path / f"{kind}.json").write_text(json.dumps(schema))
        assert bool(published.broken(tmp_path)) == breaks


def test_what_others_write_is_published() -> None:
    frozen = {path.stem for path in published.PUBLISHED.glob("*.json")}
    assert {kind for kind in EVENT_TYPES if TOPIC_OF[kind].inbound} <= frozen


def test_the_command_names_the_place_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = deepcopy(event_schema(PAID))
    part(schema, "OrderLine")["properties"]["weight"] = {"type": "string"}
    (tmp_path / f"{PAID}.json").write_text(json.dumps(schema))
    (tmp_path / "commerce.order.lost.v1.json").write_text("{}")
    assert main(["compat", "--against", str(tmp_path)]) == 1
    printed = capsys.readouterr().err
    assert f"{PAID}: data.lines[].weight: the field was removed" in printed
    assert f"{PAID}: keep it as published and publish commerce.order.paid.v2" in printed
    assert "commerce.order.lost.v1: the event: the type was removed" in printed


def test_a_directory_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    assert main(["compat", "--against", str(tmp_path / "none")]) == 2


def test_a_type_is_not_frozen_over_what_it_breaks(tmp_path: Path) -> None:
    published.freeze([PAID], tmp_path)
    published.freeze([PAID], tmp_path)
    frozen = json.loads((tmp_path / f"{PAID}.json").read_text())
    part(frozen, "OrderLine")["properties"]["weight"] = {"type": "string"}
    (tmp_path / f"{PAID}.json").write_text(json.dumps(frozen))
    with pytest.raises(ValueError, match=PAID):
        published.freeze([PAID], tmp_path)
    with pytest.raises(KeyError):
        published.freeze(["commerce.order.lost.v1"], tmp_path)
