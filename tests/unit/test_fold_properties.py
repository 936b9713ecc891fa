"""The fold against the naive model on drawn histories, and its own promises: any order (O6), any batching (O7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Refused, parse_event
from services.ledger.domain.state.budgets import decode_budget
from services.ledger.domain.state.fact_keys import BUDGET
from tests.model.events import Arrival, Event, Timer
from tests.model.histories import arrivals, checkouts, facts, paid_ahead, programs, versions
from tests.model.model import HistoryStep, Model
from tests.model.program import Program
from tests.model.result import Result
from tests.unit.ledger_member import MemoryLedger

SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def figures(result: Result, versions: Sequence[Program]) -> dict[str, Any]:
    """What model and fold must agree on at every moment; how a journal is worded is the fold's own affair.

    Of a pool that several orders share, which of them is said to have moved it is worded differently too, and so is by
    which rule points are missing that are under review.
    """
    happened = asdict(result)
    del happened["outcomes"]
    reviewed = any(version["points"]["negative"] == "review" for version in versions)
    on_orders = [rule for version in versions for rule in version["earn"] if rule["on"] == "order"]
    shared = reviewed or any("cap" in rule for rule in on_orders)
    for order in happened["orders"].values():
        del order["working"]
        order["alarms"] -= {"clawback_under_review"} if reviewed else set()
        if shared:
            del order["earned_pending"], order["earned_confirmed"]
    rules = happened["rules"]
    rules["purchase"] = rules.get("purchase", 0) + rules.pop("birthday-true-up", 0)
    happened["under_review"] = sum(happened["under_review"].values())
    if reviewed:
        del happened["rules"]
    return happened


def accepted(history: Sequence[HistoryStep]) -> list[HistoryStep]:
    """Without what the contracts refuse before it becomes an input (a line named twice)."""
    return [step for step in history if not isinstance(step, Arrival) or _is_read(step.event)]


def _is_read(event: Event) -> bool:
    try:
        return bool(event["type"].startswith("loyalty.") or parse_event(orjson.dumps(event)))
    except Refused:
        return False


def differences(fold: Any, model: Any, path: str = "") -> list[str]:
    """Where two figures differ, by name."""
    if isinstance(fold, dict) and isinstance(model, dict):
        found = []
        for name in sorted({*fold, *model}, key=str):
            found += differences(fold.get(name), model.get(name), f"{path}.{name}")
        return found
    return [] if fold == model else [f"{path}: fold {fold!r}, model {model!r}"]


@SETTINGS
@given(st.data())
def test_O6_the_fold_is_the_model_at_every_step(data: st.DataObject) -> None:
    program = data.draw(programs(lateness=("none", 30)))
    compare([program], accepted(data.draw(facts().flatmap(arrivals))))


@SETTINGS
@given(st.data())
def test_P5_P7_the_fold_spends_as_the_model_does_at_every_step(data: st.DataObject) -> None:
    program = data.draw(programs(lateness=("none", 30)))
    compare([program], accepted(data.draw(checkouts(data.draw(facts(spending=True))))))


@settings(SETTINGS, max_examples=25)
@given(st.data())
def test_R6_N2_the_fold_is_the_model_under_the_rest_of_the_algebra(data: st.DataObject) -> None:
    drawn = data.draw(
        versions(
            lateness=("none", 30),
            expiry=("month", "none", "short", "fixed", "sliding"),
            negative=("debt", "clamp", "review"),
            refund=("recompute", "proportional"),
            more=True,
        )
    )
    happened = data.draw(facts(spending=True, more=True))
    compare(drawn, accepted(data.draw(checkouts(happened, reviews=True, more=True))))


@settings(SETTINGS, max_examples=25)
@given(st.data())
def test_N6_the_fold_gives_in_all_what_the_model_gives_of_a_budget(data: st.DataObject) -> None:
    drawn = data.draw(versions(refund=("recompute", "proportional"), more=True, ahead=True))
    history = accepted(data.draw(facts(more=True).flatmap(arrivals)))
    ledger = MemoryLedger(drawn)
    fold, model = figures(ledger.play(history), drawn), figures(Model(drawn).play(history), drawn)
    assert fold["rules"].get("gift", 0) == model["rules"].get("gift", 0)
    if not any(decode_budget(budget.facts[BUDGET]).spent for budget in ledger.budgets.values()):
        assert fold["rules"].get("purchase", 0) == model["rules"].get("purchase", 0)
        assert (fold["pending"], fold["tiers"]) == (model["pending"], model["tiers"])


def compare(versions: Sequence[Program], history: Sequence[HistoryStep]) -> None:
    """Play a history on both, and look at all figures after each step."""
    model, ledger = Model(versions), MemoryLedger(versions)
    for step in history:
        model.take(step)
        ledger.take(step)
        # The model looks at the clock at each arrival; so must the fold be looked at.
        ledger.tick(ledger.clock)
        assert not differences(figures(ledger.result(), versions), figures(model.result(), versions))


@SETTINGS
@given(st.data())
def test_O7_any_cut_into_batches_writes_the_same_rows_and_chain_heads(data: st.DataObject) -> None:
    program = data.draw(programs(lateness=("none", 30)))
    drawn = data.draw(checkouts(data.draw(facts(tiers=True, spending=True))))
    history = [step for step in accepted(drawn) if not isinstance(step, Timer)]
    single, batched = MemoryLedger(program, tiers="received"), MemoryLedger(program, tiers="received")
    for step in history:
        single.take_together([step])
    rest = history
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batched.take_together(rest[:size])
        rest = rest[size:]
    for rows in ("account", "orders", "lines", "facts", "lots"):
        assert getattr(batched, rows) == getattr(single, rows), rows
    assert [row.head for row in batched.journal] == [row.head for row in single.journal]


@SETTINGS
@given(st.data())
def test_O6_any_order_of_arrival_leads_to_the_same_end(data: st.DataObject) -> None:
    program = data.draw(programs())
    happened = data.draw(facts())
    same_end([MemoryLedger(program).play(accepted(data.draw(arrivals(happened)))) for _ in range(2)])


@SETTINGS
@given(st.data())
def test_O6_P7_also_with_holds_captures_and_redemptions_that_orders_name(data: st.DataObject) -> None:
    program = data.draw(programs())
    happened, before = data.draw(facts(spending=True)), data.draw(paid_ahead())
    histories = [[*before, *accepted(data.draw(arrivals(happened)))] for _ in range(2)]
    compare([program], histories[0])
    same_end([MemoryLedger(program).play(history) for history in histories])


def same_end(ends: Sequence[Result]) -> None:
    """What may not depend on the order of arrival is the same in both ends."""
    first, second = ({**asdict(end), "settled": end.net + end.expired - end.forgiven} for end in ends)
    names = ["earned", "redeemed", "returned", "tiers", "pending", "settled"]
    if not first["expired"] and not second["expired"]:
        names.append("net")
    for name in names:
        assert first[name] == second[name], name
    for name, order in first["orders"].items():
        other = second["orders"][name]
        for figure in ("timeline", "points_used", "points_returned"):
            assert order[figure] == other[figure], (name, figure)
        # Whether points were there is a matter of arrival (P7).
        assert order["alarms"] ^ other["alarms"] <= {"points_short"}, name
