"""Decisions as facts: what is published validates, and carries the member's whole history."""

from __future__ import annotations

import orjson

from schemas.events import parse_event
from services.tiering.domain.member import (
    Cause,
    Decision,
    Enrolment,
    Member,
    Order,
    TimelineReceived,
    decide,
    order_key,
)
from services.tiering.domain.program import ProgramVersions, compile_program
from services.tiering.domain.timeline import Entry
from services.tiering.events.outbound import render
from tests.unit.test_tiering_history import document, on

VERSIONS = ProgramVersions([compile_program(document())])


def book_order(member: Member, *entries: Entry, number: int = 1) -> Decision:
    order = Order(number, 0, entries)
    key = order_key("", str(number))
    cause = Cause("loyalty.order.qualified.v1", "/loyalty/ledger", f"m-1:{number}:0", on(20), key)
    decision = decide(VERSIONS, member, TimelineReceived("m-1", key, order, cause), {}, complete=False)
    assert decision is not None
    return decision


def test_T1_facts_out_validate_and_carry_the_whole_dated_history() -> None:
    member = Member()
    enrolment = Enrolment("m-1", Cause("commerce.member.registered.v1", "/shop", "r1", on(0)))
    joined = decide(VERSIONS, member, enrolment, {}, complete=False)
    assert joined is not None
    decisions = [
        joined,
        book_order(member, Entry(on(1), 40_000, 1)),
        book_order(member, Entry(on(2), 50_000, 1), number=2),
    ]
    late = TimelineReceived(
        "m-1",
        order_key("", "1"),
        Order(9, 0, (Entry(on(1), 100, 1),)),
        Cause("loyalty.order.qualified.v1", "/loyalty/ledger", "m-1:9:0", on(21), order_key("", "1")),
    )
    corrected = decide(VERSIONS, member, late, {}, complete=False)
    assert corrected is not None
    events = [render("m-1", 0, decision, decision.facts[0], 2) for decision in [*decisions, corrected]]
    for rendered in events:
        parse_event(rendered)
    enrolled, _, upgraded, downgraded = (orjson.loads(rendered) for rendered in events)
    assert enrolled["type"] == "loyalty.tier.enrolled.v1"
    assert enrolled["data"]["effective_at"] == "2025-12-31T16:00:00Z"
    assert upgraded["id"] == "m-1:3:0"
    assert upgraded["time"] == "2026-01-20T16:00:00Z"
    assert upgraded["data"] == {
        "member_version": 3,
        "event_no": 0,
        "tier": "supreme",
        "previous_tier": "senior",
        "effective_at": "2026-01-02T16:00:00Z",
        "history": [
            {"tier": "senior", "effective_at": "2026-01-01T16:00:00Z"},
            {"tier": "supreme", "effective_at": "2026-01-02T16:00:00Z"},
        ],
        "growth_value": "900.00",
        "orders": 2,
        "program_version": "2026.1",
        "cause": {
            "type": "loyalty.order.qualified.v1",
            "source": "/loyalty/ledger",
            "id": "m-1:2:0",
            "time": "2026-01-20T16:00:00Z",
            "program_version": "2026.1",
            "shop": "",
            "order_id": "2",
        },
    }
    assert downgraded["type"] == "loyalty.tier.downgraded.v1"
    assert downgraded["data"]["cause"]["rule"] == "corrected"
    assert [reached["tier"] for reached in downgraded["data"]["history"]] == ["regular", "senior"]
