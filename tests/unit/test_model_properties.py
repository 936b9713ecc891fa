"""What holds of the rules whatever happens: tried on the naive model."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model.drawn_orders import an_order, order_lines
from tests.model.events import Event, Timer, d, line, paid, part, refunded
from tests.model.histories import arrivals, checkouts, facts, paid_ahead, programs
from tests.model.model import Model
from tests.model.program import Program
from tests.model.result import Result

NEGATIVE, REFUND = ("debt", "clamp", "review"), ("recompute", "proportional")
EXPIRY = ("month", "none", "year", "short", "fixed", "sliding")

thorough = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def the_same_whatever_the_arrival(result: Result, document: Program) -> dict[str, Any]:
    """O6: what may not depend on the order, the times or the repetition of arrivals."""
    net = result.net - result.written_off - sum(result.under_review.values())  # R2
    rules = dict(result.rules)
    # Which part of an order's points was made up for later depends on what was known when (T1).
    rules["purchase"] = rules.get("purchase", 0) + rules.pop("tier-true-up", 0)
    on_orders = [rule for rule in document["earn"] if rule["on"] == "order"]
    pooled = any("cap" in rule or "budget" in rule.get("campaign", {}) for rule in on_orders)
    same: dict[str, Any] = {
        "earned": result.earned,
        "pending": result.pending,
        "used": result.redeemed,
        "returned": result.returned,
        "rules": {rule: points for rule, points in rules.items() if points},
        "tiers": result.tiers,
        "parked": result.parked,
        "worth": net + result.expired - result.forgiven,
        "orders": {
            key: (
                order.timeline,
                order.alarms - {"points_short", "clawback_under_review"},
                order.points_used,
                order.points_returned,
                # Of a pool, each fact books the change of the total (N3), so its share goes by arrival.
                None if pooled else (order.earned_pending, order.earned_confirmed),
            )
            for key, order in result.orders.items()
        },
    }
    if document["points"]["expiry"]["kind"] == "none" or not result.expired:
        same["net"] = net
    return same


@thorough
@given(st.data())
def test_O6_any_permutation_with_duplicates_at_any_times_ends_the_same(data: st.DataObject) -> None:
    document = data.draw(programs(expiry=EXPIRY, negative=NEGATIVE, refund=REFUND, more=True, ahead=True))
    document["points"]["refund"]["park_days"] = 400  # F3: a referral waits from its arrival on, here for long enough
    events = data.draw(facts(more=True))
    results = [Model(document).play(data.draw(arrivals(events))) for _ in range(2)]
    one, other = (the_same_whatever_the_arrival(result, document) for result in results)
    if "net" not in one or "net" not in other:
        one.pop("net", None)
        other.pop("net", None)
    assert one == other


@thorough
@given(st.data())
def test_O6_holds_with_tiers_told_by_events(data: st.DataObject) -> None:
    document = data.draw(programs())
    events = data.draw(facts(tiers=True))
    results = [Model(document, tiers="received").play(data.draw(arrivals(events))) for _ in range(2)]
    one, other = (the_same_whatever_the_arrival(result, document) for result in results)
    if "net" not in one or "net" not in other:
        one.pop("net", None)
        other.pop("net", None)
    assert one == other


@thorough
@given(st.data())
def test_the_books_balance_after_every_step(data: st.DataObject) -> None:
    model = Model(data.draw(programs(lateness=("none", 5))))
    for step in data.draw(arrivals(data.draw(facts()))):
        if isinstance(step, Timer):
            model.tick(step.now)
        else:
            model.arrive(step.event, step.now)
        model.result()  # checks the books


@thorough
@given(st.data())
def test_E1_it_makes_no_difference_when_somebody_looks(data: st.DataObject) -> None:
    document = data.draw(programs(lateness=("none", 5)))
    # Given tiers: a true-up comes when tiering comes, and that is when somebody looks.
    history = data.draw(arrivals(data.draw(facts(tiers=True))))
    unlooked = [step for step in history[:-1] if not isinstance(step, Timer)]
    looked = Model(document, tiers="received").play(history)
    assert looked == Model(document, tiers="received").play([*unlooked, history[-1]])


@thorough
@given(st.data())
def test_R2_another_refund_gains_nothing(data: st.DataObject) -> None:
    document = data.draw(programs(expiry=EXPIRY, negative=NEGATIVE, refund=REFUND, more=True, ahead=True))
    document["points"]["refund"]["park_days"] = 400  # F3: a referral waits from its arrival on, here for long enough
    events = data.draw(facts(more=True))
    line_id = data.draw(st.sampled_from(["l1", "l2", "l3"]))
    amount = data.draw(st.sampled_from(["0.01", "50", "100", "900"]))
    time = d(data.draw(st.integers(1, 50)))
    more = refunded("o1", time, [part(line_id, amount)], refund="r9", id="zz")
    without = Model(document).play(data.draw(arrivals(events)))
    with_it = Model(document).play(data.draw(arrivals([*events, more])))
    assert with_it.earned + with_it.pending <= without.earned + without.pending
    assert with_it.returned >= without.returned


@thorough
@given(st.data())
def test_R2_the_end_does_not_depend_on_how_a_refund_is_split(data: st.DataObject) -> None:
    document = data.draw(programs(expiry=EXPIRY, negative=NEGATIVE, refund=REFUND))
    amount = data.draw(st.integers(2, 90_000))
    used = data.draw(st.integers(0, 300))
    value = f"{used // 100}.{used % 100:02}"
    order = paid(
        "s",
        d(3),
        [line("l1", f"{amount // 100}.{amount % 100:02}"), *data.draw(order_lines())[1:]],
        points_used=used,
        points_value=value,
        id="s",
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, amount), min_size=1, max_size=4)))
    sizes = [high - low for low, high in zip([0, *cuts], cuts, strict=False)]

    def refunds(parts: list[int]) -> list[Event]:
        return [
            refunded("s", d(20), [part("l1", f"{n // 100}.{n % 100:02}")], refund=f"s{i}", id=f"s{i}")
            for i, n in enumerate(parts)
        ]

    others = data.draw(an_order("o1"))
    for number, event in enumerate(others):
        event["id"] = f"e{number}"
    whole = Model(document).play(data.draw(arrivals([order, *others, *refunds([sum(sizes)])])))
    split = Model(document).play(data.draw(arrivals([order, *others, *refunds(sizes)])))
    assert (whole.earned, whole.pending, whole.returned) == (split.earned, split.pending, split.returned)
    assert whole.tiers == split.tiers
    assert {key: order.timeline for key, order in whole.orders.items()} == {
        key: order.timeline for key, order in split.orders.items()
    }


@thorough
@given(st.data())
def test_P5_the_books_balance_with_holds_and_redemptions(data: st.DataObject) -> None:
    document = programs(lateness=("none", 5), expiry=EXPIRY, negative=NEGATIVE, refund=REFUND, more=True, ahead=True)
    model, events = Model(data.draw(document)), data.draw(facts(spending=True, more=True))
    for step in data.draw(checkouts(events, reviews=True, more=True, ahead=True)):
        model.take(step)
        model.result()  # checks the books


@thorough
@given(st.data())
def test_E1_it_makes_no_difference_when_somebody_looks_at_holds(data: st.DataObject) -> None:
    document = data.draw(programs(lateness=("none", 5), expiry=EXPIRY, negative=NEGATIVE, more=True, ahead=True))
    events = data.draw(facts(spending=True, tiers=True, more=True))
    history = data.draw(checkouts(events, reviews=True, more=True, ahead=True))
    unlooked = [step for step in history[:-1] if not isinstance(step, Timer)]
    looked = Model(document, tiers="received").play(history)
    assert looked == Model(document, tiers="received").play([*unlooked, history[-1]])


@thorough
@given(st.data())
def test_O6_P7_any_arrival_ends_the_same_with_holds_captures_and_redemptions(data: st.DataObject) -> None:
    document = data.draw(programs())
    events, before = data.draw(facts(spending=True)), data.draw(paid_ahead())
    results = [Model(document).play([*before, *data.draw(arrivals(events))]) for _ in range(2)]
    assert all(hold.state != "open" for result in results for hold in result.holds.values())
    one, other = (the_same_whatever_the_arrival(result, document) for result in results)
    if "net" not in one or "net" not in other:
        one.pop("net", None)
        other.pop("net", None)
    assert one == other
