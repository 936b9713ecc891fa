"""What one service emits, as its readers take it: each by its own decoder, from the bytes that leave."""

from __future__ import annotations

from services.kit.kafka import Record, shard_of
from services.ledger.events.outbound import TOPIC, render_facts
from services.notifier.domain.inputs import OccasionReceived
from services.notifier.events.inbound import Decoder as NotifierDecoder
from tests.model import events as shop
from tests.model.days import instant
from tests.model.program import DEFAULT
from tests.unit.ledger_member import MemoryLedger

SHARDS = 16


def records_of(ledger: MemoryLedger) -> list[Record]:
    """All that a ledger's account has published, as the broker would have it."""
    shard = shard_of(ledger.account.member_id, SHARDS)
    rows = [
        (row.now, event)
        for row in ledger.journal
        for event in render_facts(shard, ledger.account.member_id, row, ledger.programs)
    ]
    return [
        Record(TOPIC, shard, offset, now, event.key, event.value, event.headers)
        for offset, (now, event) in enumerate(rows)
    ]


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
