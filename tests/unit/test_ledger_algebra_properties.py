"""What the fold promises under programs that say more than the default one: any order (O6), any batching (O7)."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ledger.domain.orders import decode_order
from tests.model.days import instant
from tests.model.events import Arrival, Event, Timer, d, profile
from tests.model.histories import arrivals, facts, programs
from tests.model.program import Program
from tests.unit.ledger_member import MemoryLedger
from tests.unit.test_fold_properties import accepted

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@st.composite
def algebra(draw: st.DrawFn) -> Program:
    """A program with several multipliers, and perhaps marginal bands, proportional refunds, fixed dates or a clamp."""
    made = draw(programs(lateness=("none",)))
    purchase = made["earn"][0]
    purchase["stacking"] = draw(st.sampled_from(["multiply", "add", "max"]))
    purchase["bands"]["mode"] = draw(st.sampled_from(["whole", "marginal"]))
    made["points"]["refund"]["mode"] = draw(st.sampled_from(["recompute", "proportional"]))
    made["points"]["negative"] = draw(st.sampled_from(["debt", "clamp"]))
    if draw(st.booleans()):
        made["points"]["expiry"] = {"kind": "fixed_dates", "dates": ["03-31", "05-15"], "min_life_days": 10}
    for name, first, last in draw(st.sampled_from([[], [("spring", 1, 4)], [("spring", 1, 4), ("noon", 3, 9)]])):
        dated = {"from": d(first, "00:00"), "to": d(last, "12:00"), "multiplier": "1.5"}
        made["earn"].append({"rule": name, "on": "order", "campaign": dated})
    when = draw(st.sampled_from(["birthday", "birthday_month"]))
    made["earn"].append({"rule": "birthday", "on": "order", "when": when, "multiplier": "2"})
    return made


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """A member's facts, with a birthday that is told, changed and deleted."""
    told = draw(facts())
    days = draw(st.lists(st.tuples(st.sampled_from([-60, -29, 2, 5]), st.sampled_from(BIRTHDAYS)), max_size=3))
    told += [profile(d(day, f"07:{n:02}"), id=f"b{n}", birthday=birthday) for n, (day, birthday) in enumerate(days)]
    return sorted(told, key=lambda event: instant(event["time"]))


BIRTHDAYS = ("1990-03-05", "1990-03-31", "1988-02-29", "1990-08-01", None)


def end_of(program: Program, history: list[Any]) -> dict[str, Any]:
    """What does not depend on the order of arrival: what is earned, used and told, not which lot a spend met."""
    ledger = MemoryLedger(program)
    for step in history:
        if isinstance(step, Timer):
            ledger.tick(step.now)
        else:
            ledger.arrive(step.event, step.now)
    account = ledger.account
    orders = {ref: decode_order(raw) for ref, raw in ledger.orders.items()}
    return {
        "points": (account.earned, account.pending, account.redeemed),
        "told": (account.details.tiers, account.details.birthdays),
        "orders": {
            ref: (order.pending, order.confirmed, order.used, order.lot_day, order.success_from, order.success_until)
            for ref, order in orders.items()
            if order.paid_at
        },
    }


@SETTINGS
@given(st.data())
def test_O6_any_order_of_arrival_leads_to_the_same_end_under_the_rest_of_the_algebra(data: st.DataObject) -> None:
    program, happened = data.draw(algebra()), data.draw(histories())
    first, second = (end_of(program, accepted(data.draw(arrivals(happened)))) for _ in range(2))
    assert first == second


@SETTINGS
@given(st.data())
def test_O7_any_cut_into_batches_writes_the_same_rows_under_the_rest_of_the_algebra(data: st.DataObject) -> None:
    program = data.draw(algebra())
    history = [step for step in accepted(data.draw(histories().flatmap(arrivals))) if isinstance(step, Arrival)]
    single, batched = MemoryLedger(program, tiers="given"), MemoryLedger(program, tiers="given")
    for step in history:
        single.take_together([step])
    while history:
        size = data.draw(st.integers(1, len(history)))
        batched.take_together(history[:size])
        history = history[size:]
    for rows in ("account", "orders", "lines", "facts", "lots"):
        assert getattr(batched, rows) == getattr(single, rows), rows
    assert [row.head for row in batched.journal] == [row.head for row in single.journal]
