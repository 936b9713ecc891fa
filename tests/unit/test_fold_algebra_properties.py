"""What the fold promises under programs that say more than the default one: any order (O6), any batching (O7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ledger.domain.state.orders import decode_order
from tests.model.events import Timer
from tests.model.histories import arrivals, checkouts, facts, versions
from tests.model.model import HistoryStep
from tests.model.program import Program
from tests.unit.ledger_member import MemoryLedger
from tests.unit.test_fold_properties import accepted

SETTINGS = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
EXPIRY = ("month", "none", "short", "fixed", "sliding")


def end_of(documents: Sequence[Program], history: Sequence[HistoryStep]) -> dict[str, Any]:
    """What does not depend on the order of arrival: what is earned, used and known, not which lot a spend met."""
    ledger = MemoryLedger(documents)
    for step in history:
        ledger.take(step)
    account = ledger.account
    orders = {ref: decode_order(raw) for ref, raw in ledger.orders.items()}
    return {
        "points": (account.earned, account.pending, account.redeemed),
        "known": (account.details.tiers, account.details.birthdays, account.details.referrer),
        "orders": {
            ref: (order.pending, order.confirmed, order.used, order.lot_day, order.success_from, order.success_until)
            for ref, order in orders.items()
            if order.paid_at
        },
    }


@SETTINGS
@given(st.data())
def test_O6_any_order_of_arrival_leads_to_the_same_end_under_the_rest_of_the_algebra(data: st.DataObject) -> None:
    drawn = data.draw(
        versions(expiry=EXPIRY, negative=("debt", "clamp"), refund=("recompute", "proportional"), more=True)
    )
    for version in drawn:  # F3: a referral waits from its arrival on; any wait in here is shorter
        version["points"]["refund"]["park_days"] = 400
    happened = data.draw(facts(more=True))
    first, second = (end_of(drawn, accepted(data.draw(arrivals(happened)))) for _ in range(2))
    assert first == second


@SETTINGS
@given(st.data())
def test_O7_any_cut_into_batches_writes_the_same_rows_under_the_rest_of_the_algebra(data: st.DataObject) -> None:
    drawn = data.draw(
        versions(expiry=EXPIRY, negative=("debt", "clamp", "review"), refund=("recompute", "proportional"), more=True)
    )
    happened = data.draw(facts(tiers=True, spending=True, more=True))
    steps = accepted(data.draw(checkouts(happened, reviews=True, more=True)))
    history = [step for step in steps if not isinstance(step, Timer)]
    single, batched = MemoryLedger(drawn, tiers="received"), MemoryLedger(drawn, tiers="received")
    for step in history:
        single.take_together([step])
    while history:
        size = data.draw(st.integers(1, len(history)))
        batched.take_together(history[:size])
        history = history[size:]
    for rows in ("account", "orders", "lines", "facts", "lots"):
        assert getattr(batched, rows) == getattr(single, rows), rows
    assert [row.head for row in batched.journal] == [row.head for row in single.journal]
