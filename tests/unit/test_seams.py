"""What one service emits, as its readers take it: each by its own decoder, from the bytes that leave."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import parse_event, read_event
from services.kit.calendar import Micros
from services.kit.cloudevent import HEADERS
from services.kit.kafka import Record, shard_of
from services.kit.outbox import OutboxRow
from services.ledger.events.inbound import input_of
from services.ledger.events.internal import internal_messages
from services.ledger.events.outbound import TOPIC, render_facts
from services.notifier.domain.decision import message_key
from services.notifier.domain.inputs import Input as NotifierInput
from services.notifier.domain.inputs import OccasionReceived, TierHistoryReceived
from services.notifier.domain.policy import Reader, context
from services.notifier.events.inbound import TIERS
from services.notifier.events.inbound import Decoder as NotifierDecoder
from services.notifier.events.outbound import Outgoing, Senders
from services.notifier.events.outbound import render as render_request
from services.notifier.program import policy_of
from services.notifier.texts.formats import formatted
from services.notifier.texts.rendering import Texts
from services.tiering.domain import member as tier_member
from services.tiering.domain.program import ProgramVersions as TierVersions
from services.tiering.domain.program import compile_program as compile_tiers
from services.tiering.events.inbound import Decoder as TieringDecoder
from services.tiering.events.outbound import render
from tests.model import events as shop
from tests.model.bounds import MOST, ROOM
from tests.model.days import instant, minor
from tests.model.events import Arrival, Event, Timer, d
from tests.model.model import HistoryStep, Model
from tests.model.program import DEFAULT, Program, program
from tests.model.table.bounds import LARGEST
from tests.unit.ledger_member import MemoryLedger

SHARDS = 16
TEXTS = Texts.load()

AT_THE_BOUNDS = ("0.00", "0.01", "0.02", "1", "900", "333333333333.33", "500000000000", "999999999999", LARGEST)
POINTS_AT_THE_BOUNDS = (0, 1, 500, 10**15, MOST - ROOM - 1, MOST - ROOM, MOST - ROOM + 1, MOST)
RATES = ("1", "2", "4503", "9006", "9007", "9008", "100000")


@st.composite
def rich_programs(draw: st.DrawFn) -> Program:
    """A program under which few large orders reach the bounds."""
    bands = {"mode": "whole", "steps": [{"rate": draw(st.sampled_from(RATES))}]}
    changes = {"purchase": {"bands": bands, "tier_multiplier": {}}}
    points = {"expiry": draw(st.sampled_from([{"kind": "none"}, {"kind": "rolling", "months": 1, "min_life_days": 0}]))}
    return program(["purchase", "sign-in", "first-purchase", "joining-gift"], rule=changes, points=points)


@st.composite
def large_events(draw: st.DrawFn) -> Event:
    """An event that says as much as events may, or a little more."""
    order, at = draw(st.sampled_from(["o1", "o2", "o3"])), d(draw(st.integers(1, 20)))
    amounts = st.sampled_from(AT_THE_BOUNDS)
    name = draw(st.uuids()).hex
    match draw(
        st.sampled_from(["paid", "paid", "paid", "completed", "refunded", "cancelled", "signed_in", "registered"])
    ):
        case "paid":
            lines = [shop.line(f"l{n}", draw(amounts)) for n in range(draw(st.integers(1, 2)))]
            used = draw(st.sampled_from(POINTS_AT_THE_BOUNDS))
            return shop.paid(
                order, at, lines, shipping=draw(amounts), tax=draw(st.sampled_from(["0", "0.01"])), points_used=used,
                points_value=draw(amounts) if used else None, revision=draw(st.integers(0, 2)), id=name,
            )  # fmt: skip
        case "completed":
            return shop.completed(order, at, id=name)
        case "refunded":
            return shop.refunded(order, at, draw(amounts), refund=draw(st.sampled_from(["r1", "r2"])), id=name)
        case "cancelled":
            return shop.cancelled(order, at, id=name)
        case "signed_in":
            return shop.signed_in(at, id=name)
        case _:
            return shop.registered(at, id=name)


large_histories = st.lists(large_events(), min_size=1, max_size=14)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rich_programs(), large_histories, st.booleans())
def test_O12_what_is_emitted_at_the_bounds_is_read_by_all_its_readers(
    under: Program, events: Sequence[Event], falls_due: bool
) -> None:
    """Orders, growth and points at their bounds: the model and the fold refuse the same, and nothing that a service
    emits of the rest is refused by another."""
    ledger, model = MemoryLedger(under), Model(under)
    for number, event in enumerate(events):
        now = instant(d(61 if falls_due and number > 9 else 21, f"10:{number:02}"))
        steps: list[HistoryStep] = [Arrival(event, now)]
        if falls_due and number == 9:
            steps.append(Timer(instant(d(60))))
        for step in steps:
            ledger.take(step)
            model.take(step)
            ledger.tick(ledger.clock)
        refused = [outcome == "out_of_range" for outcome in (ledger.outcomes[-1][1], model.outcomes[-1][1])]
        assert refused in ([True, True], [False, False])
    fold, expected = ledger.result(), model.result()
    names = ("available", "pending", "held", "debt", "earned", "redeemed", "returned", "expired", "forgiven", "tiers")
    assert {name: getattr(fold, name) for name in names} == {name: getattr(expected, name) for name in names}
    totals = [ledger.account.pending, ledger.account.available, ledger.account.debt, ledger.account.redeemed]
    assert max(totals) <= MOST
    facts = records_of(ledger)
    read_by_notifier = NotifierDecoder(shards=SHARDS, max_event_age_days=400)
    for record in [*facts, *tier_facts(under, facts)]:
        for request in requests_about(under, read_by_notifier(record)):
            parse_event(request)
        read_event(record.value, record.headers, record.key)
        if record.topic == TIERS:
            input_of(read_event(record.value, record.headers, record.key), "CNY", 2)
    for row in ledger.journal:
        for message in internal_messages(shard_of("m1", SHARDS), "m1", row):
            assert input_of(read_event(message.value, message.headers, message.key), "CNY", 2) is not None


def requests_about(under: Program, input_: NotifierInput | None) -> list[bytes]:
    """What the notifier asks gateways to send of an occasion, in each channel that has a text for it."""
    if not isinstance(input_, OccasionReceived | TierHistoryReceived) or input_.occasion is None:
        return []
    occasion, policy = input_.occasion, policy_of(under)
    requests = []
    for channel in ("sms", "email"):
        if (occasion.touchpoint, channel) not in TEXTS.available:
            continue
        values = context(
            policy, occasion.touchpoint, occasion.parameters, occasion.at, Reader("zh-CN", "zh-CN", "商店")
        )
        text = TEXTS.render(occasion.touchpoint, channel, "zh-CN", values)
        key = message_key(input_.member_id, occasion.touchpoint, occasion.name, channel)
        outgoing = Outgoing(
            input_.member_id, key, 1, channel, "+8613800138000", "service", occasion.touchpoint, occasion.name,
            formatted(values, "zh-CN"), text, 0, input_.arrived_at, input_.arrived_at,
        )  # fmt: skip
        requests.append(render_request(outgoing, Senders("商店", "shop@example.com")))
    return requests


def tier_facts(under: Program, facts: Sequence[Record]) -> list[Record]:
    """What tiering makes of the ledger's facts and publishes."""
    versions = TierVersions([compile_tiers(under)])
    read, member = TieringDecoder(lambda: versions, shards=SHARDS, max_event_age_days=400), tier_member.Member()
    published: list[Record] = []
    for record in facts:
        if (input_ := read(record)) is None:
            continue
        decision = tier_member.decide(versions, member, input_, {}, complete=True)
        for fact in decision.facts if decision else ():
            assert decision is not None
            value = render("m1", 0, decision, fact, 2)
            published.append(
                _record(TIERS, OutboxRow(record.partition, TIERS, b"m1", value, HEADERS), record.appended_at)
            )
    assert member.position.growth < minor("999999999999.99") + 1
    return published


def records_of(ledger: MemoryLedger) -> list[Record]:
    """All that a ledger's account has published, as the broker would have it."""
    shard = shard_of(ledger.account.member_id, SHARDS)
    rows = [
        (row.now, event)
        for row in ledger.journal
        for event in render_facts(shard, ledger.account.member_id, row, ledger.programs)
    ]
    return [_record(TOPIC, event, now) for now, event in rows]


def _record(topic: str, row: OutboxRow, now: Micros) -> Record:
    return Record(topic, row.shard, 1, now, row.key, row.value, row.headers)


def test_mend_a09_points_used_that_are_not_there_are_told_the_member() -> None:
    """S4: a member who has 20 uses 500 without a hold; 480 are owed, and said so."""
    ledger = MemoryLedger(DEFAULT)
    ledger.arrive(shop.registered(shop.d(1)), instant(shop.d(1)))
    order = shop.paid("o1", shop.d(2), "100", points_used=500, points_value="5")
    ledger.arrive(order, instant(shop.d(2)))
    assert (ledger.account.available, ledger.account.debt) == (0, 480)
    read = NotifierDecoder(shards=SHARDS, max_event_age_days=400)
    told = [input_.occasion for record in records_of(ledger) if isinstance(input_ := read(record), OccasionReceived)]
    debts = [(each.name, each.parameters) for each in told if each.touchpoint == "clawback-debt"]
    assert debts == [
        (
            "used:order:/o1:2026-03-02T02:00:00Z",
            {"points": 500, "available": 0, "order_id": "o1", "debt": 480, "debt_made": 480, "why": "used",
             "expires_on": "2027-03-01"},
        )
    ]  # fmt: skip
