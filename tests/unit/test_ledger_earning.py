"""What orders earn under programs that say more than the default one, with figures computed by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.kit.calendar import NOT_YET, Day, day_from
from services.ledger.api.explanation import describe, sum_json
from services.ledger.domain.program.program import ProgramVersions, compile_program
from services.ledger.domain.state.entries import NO_PARENT
from services.ledger.domain.state.outcome import AwardReason
from services.ledger.reads.rows import EntryRow
from tests.model.days import instant
from tests.model.events import Event, completed, d, gift_card, line, paid, refunded, tier
from tests.model.program import Program, program
from tests.model.result import Result
from tests.unit.ledger_member import MemoryLedger


def lead_to(document: Program | list[Program], *events: Event) -> Result:
    """Where events lead, each arriving as it happens, with the tiers of tier events."""
    ledger = MemoryLedger(document, tiers="received")
    for event in events:
        now = instant(event["time"])
        ledger.tick(now)
        ledger.arrive(event, now)
    return ledger.result()


def entry(points: int) -> EntryRow:
    day = day_from(date(2026, 3, 1))
    return EntryRow(1, 0, NOT_YET, day, "issued", "pending", points, Day(day + 365), NO_PARENT, "purchase", "/o1", 1)


# ── bands ────────────────────────────────────────────────────────────────────────────────────────────────────────────

STEPS: list[dict[str, Any]] = [
    {"upto": "200", "exclusive": True, "rate": "1"},
    {"upto": "800", "rate": "1.5"},
    {"rate": "2"},
]
MARGINAL = program(["purchase"], rule={"purchase": {"bands": {"mode": "marginal", "steps": STEPS}}})


@pytest.mark.parametrize(
    ("amount", "points"),
    [
        ("199.99", 199),
        ("200", 200),
        ("200.67", 201),  # 200 + 0.67 x 1.5 = 201.005
        ("800", 1100),  # 200 + 600 x 1.5
        ("801", 1102),  # 200 + 900 + 1 x 2
    ],
)
def test_N1_marginal_bands_earn_each_part_at_its_own_step(amount: str, points: int) -> None:
    assert lead_to(MARGINAL, paid("o1", d(1), amount), completed("o1", d(5))).available == points


def test_R1_a_refund_from_marginal_bands_takes_what_the_topmost_part_earned() -> None:
    # 1,300 on 900; on 700: 200 + 750 = 950.
    assert lead_to(MARGINAL, paid("o1", d(1), "900"), completed("o1", d(2)), refunded("o1", d(3), "200")).earned == 950


def test_O8_a_completed_line_confirms_its_share_of_what_marginal_bands_give() -> None:
    bought = [line("l1", "300"), line("l2", "600")]
    partly = lead_to(MARGINAL, paid("o1", d(1), bought), completed("o1", d(2), [{"line_id": "l1"}]))
    assert (partly.available, partly.pending) == (433, 867)  # 1,300 x 300 / 900 = 433.33


def test_N4_a_sum_in_marginal_bands_is_explained_as_it_was_made() -> None:
    compiled = compile_program(1, MARGINAL)
    reason = AwardReason("purchase", 1, "none", 80_100, 1102)
    assert sum_json(reason, ProgramVersions([compiled]))["exact"] == "1102"
    assert "earns points step by step, 2 a unit in the last: 1102;" in describe(entry(1102), compiled, reason)


# ── the value of points used ─────────────────────────────────────────────────────────────────────────────────────────

OFFSET = {"cash_offset": {"points_per_unit": 100, "exclude": {"categories": ["gift-card"]}}}


@pytest.mark.parametrize(
    ("redeem", "value", "earned"),
    [
        (OFFSET, None, 1620),  # 9,000 points are worth 90: (900 - 90) x 2
        (OFFSET, "0", 1800),  # its shop says: worth nothing
        (OFFSET, "99", 1602),  # its shop says: worth more
        ({"cash_offset": {"points_per_unit": 700}}, None, 1774),  # 12.857.. is 12.85: 887.15 x 2 = 1774.3
        (None, None, 1800),  # no word on what points are worth
    ],
)
def test_P1_points_used_without_a_value_are_worth_what_the_program_says(
    redeem: dict[str, Any] | None, value: str | None, earned: int
) -> None:
    document = program(["purchase"], redeem=redeem)
    used = paid("o1", d(1), "900", points_used=9000, points_value=value)
    assert lead_to(document, used, completed("o1", d(2))).earned == earned


def test_P2_the_value_that_the_program_gives_is_apportioned_like_one_told() -> None:
    document = program(["purchase"], redeem=OFFSET)
    bought = [line("l1", "50"), gift_card("l2", "50")]
    result = lead_to(document, paid("o1", d(1), bought, points_used=100), completed("o1", d(2)))
    assert result.orders["o1"].timeline[0][1] == 4900  # all of the 1.00 on the line that points can pay for


# ── proportional refunds ─────────────────────────────────────────────────────────────────────────────────────────────

REFUND = {"mode": "proportional", "returned_expired": {"grace_days": 30}, "park_days": 30}


def proportional(**rule: Any) -> Program:
    return program(["purchase"], points={"refund": REFUND}, rule={"purchase": rule})


def test_R3_a_proportional_refund_keeps_the_band_of_what_was_bought() -> None:
    bought = [paid("o1", d(1), "900"), completed("o1", d(2))]
    assert lead_to(proportional(), *bought, refunded("o1", d(3), "200")).earned == 1400  # 700 x 2
    assert lead_to(proportional(), *bought, refunded("o1", d(3), "750")).earned == 300  # 150 x 2


def test_R3_proportional_refunds_are_rounded_on_their_sum_alone() -> None:
    events = [paid("o1", d(1), "1.99"), completed("o1", d(2))]
    document = proportional(bands={"mode": "whole", "steps": [{"rate": "1"}]})
    for number, earned in enumerate((1, 1, 0), 1):
        events.append(refunded("o1", d(2 + number), "0.45", refund=f"r{number}"))
        assert lead_to(document, *events).earned == earned  # 1.54, 1.09, 0.64


def test_R2_the_end_of_proportional_refunds_does_not_depend_on_their_split() -> None:
    bought = [paid("o1", d(1), "333.33"), completed("o1", d(2))]
    once = lead_to(proportional(), *bought, refunded("o1", d(3), "123.45"))
    twice = lead_to(
        proportional(),
        *bought,
        refunded("o1", d(3), "23.44", refund="a"),
        refunded("o1", d(4), "100.01", refund="b"),
    )
    assert once.earned == twice.earned == 314  # 209.88 x 1.5 = 314.82


def test_R3_a_least_spend_is_asked_of_what_was_bought() -> None:
    document = proportional(min_spend="500")
    kept = lead_to(document, paid("o1", d(1), "600"), completed("o1", d(2)), refunded("o1", d(3), "300"))
    assert kept.earned == 450  # 300 x 1.5
    assert lead_to(document, paid("o1", d(1), "499"), completed("o1", d(2))).earned == 0


def test_R3_the_part_of_marginal_bands_is_a_part_of_their_sum() -> None:
    document = proportional(bands={"mode": "marginal", "steps": STEPS})
    # 900 earn 1,300; 450 of them earn half.
    assert lead_to(document, paid("o1", d(1), "900"), completed("o1", d(2)), refunded("o1", d(3), "450")).earned == 650


def test_R3_points_used_lessen_what_was_bought_and_what_is_left_alike() -> None:
    used = paid("o1", d(1), "900", points_used=9000, points_value="90")  # net 810
    # Refunded 200 of 900, with 20 of the 90: net 630 at the band of 810.
    assert lead_to(proportional(), used, completed("o1", d(2)), refunded("o1", d(3), "200")).earned == 1260


def test_R5_pending_points_shrink_in_proportion_and_a_completed_line_confirms_at_the_band_of_all() -> None:
    bought = paid("o1", d(1), [line("l1", "300"), line("l2", "600")])
    back = refunded("o1", d(2), [{"line_id": "l2", "amount": "500"}])
    assert lead_to(proportional(), bought, back).pending == 800  # 400 x 2
    partly = lead_to(proportional(), bought, back, completed("o1", d(3), [{"line_id": "l1"}]))
    assert (partly.available, partly.pending) == (600, 200)


def test_N4_a_proportional_sum_is_explained_by_what_was_bought() -> None:
    compiled = compile_program(1, proportional())
    reason = AwardReason("purchase", 1, "none", 70_000, 1400, basis=90_000)
    result = sum_json(reason, ProgramVersions([compiled]))
    assert (result["amount"], result["basis"], result["band"]["rate"], result["exact"]) == (
        "700.00",
        "900.00",
        "2",
        "1400",
    )
    assert "700.00 CNY left of 900.00, earns 2 points a unit: 700.00 × 2 = 1400;" in describe(
        entry(1400), compiled, reason
    )


# ── multipliers ──────────────────────────────────────────────────────────────────────────────────────────────────────

VIP = tier([(d(-9), "vip")], version=1)


def campaign(name: str, multiplier: str, first: int = 1, last: int = 3) -> dict[str, Any]:
    dated = {"from": d(first, "00:00"), "to": d(last + 1, "00:00"), "multiplier": multiplier}
    return {"rule": name, "on": "order", "campaign": dated}


def with_rules(*rules: dict[str, Any], **purchase: Any) -> Program:
    made = program(["purchase"], rule={"purchase": purchase})
    made["earn"] = [*made["earn"], *rules]
    return made


@pytest.mark.parametrize(
    ("stacking", "points"),
    [
        ("multiply", 2880),  # 800 x 1.5 x 1.2 x 2
        ("add", 2640),  # 800 x 1.5 x (1 + 0.2 + 1)
        ("max", 2400),  # 800 x 1.5 x 2
    ],
)
def test_N2_a_tier_and_a_campaign_go_together_as_the_program_says(stacking: str, points: int) -> None:
    document = with_rules(campaign("member-day", "2"), stacking=stacking)
    assert lead_to(document, VIP, paid("o1", d(1), "800"), completed("o1", d(2))).available == points


def test_N1_all_multipliers_are_multiplied_before_one_rounding() -> None:
    document = with_rules(campaign("member-day", "1.5"), campaign("spring", "1.1"))
    # 199.99 x 1.2 x 1.5 x 1.1 = 395.9802; rounded between, 239 x 1.5 x 1.1 would be 393 or 394.
    assert lead_to(document, VIP, paid("o1", d(1), "199.99"), completed("o1", d(2))).available == 395


def test_N2_the_rule_written_last_does_not_win() -> None:
    one, other = campaign("member-day", "2"), campaign("spring", "1.5")
    for rules in ([one, other], [other, one]):
        assert lead_to(with_rules(*rules), paid("o1", d(1), "100"), completed("o1", d(2))).available == 300


def test_N2_added_multipliers_below_one_never_take_more_than_all() -> None:
    document = with_rules(campaign("sale", "0.5"), campaign("clearance", "0.2"), stacking="add")
    assert lead_to(document, paid("o1", d(1), "100"), completed("o1", d(2))).available == 0


def test_N2_a_campaign_is_for_orders_paid_from_its_beginning_until_before_its_end() -> None:
    document = with_rules(campaign("member-day", "2", 3, 3))
    times = {d(2, "23:59:59.999999"): 100, d(3, "00:00"): 200, d(3, "23:59:59.999999"): 200, d(4, "00:00"): 100}
    for at, points in times.items():
        assert lead_to(document, paid("o1", at, "100"), completed("o1", d(10))).available == points


def test_R1_a_refund_after_a_campaign_is_reckoned_with_the_multipliers_of_the_paid_time() -> None:
    events = [paid("o1", d(1), "900"), completed("o1", d(2)), refunded("o1", d(20), "200")]
    assert lead_to(with_rules(campaign("member-day", "2")), *events).earned == 2100  # 700 x 1.5 x 2


def test_T1_a_tier_told_late_is_trued_up_beside_the_campaign() -> None:
    events = [paid("o1", d(1), "800"), completed("o1", d(2)), VIP]
    events[-1] = VIP | {"time": d(5)}
    ledger = MemoryLedger(with_rules(campaign("member-day", "2")), tiers="received")
    for event in events:
        ledger.arrive(event, instant(event["time"]))
    assert ledger.account.available == 2880
    [true_up] = ledger.journal[-1].outcome.entries
    assert (true_up.rule, true_up.points) == ("tier-true-up", 480)
    assert ledger.journal[-1].outcome.reasons[0].multipliers == ("member-day",)


def test_E7_an_earlier_telling_of_paid_leaves_the_campaign() -> None:
    document = with_rules(campaign("member-day", "2", 3, 3))
    earlier = paid("o1", d(1), "100", id="again")
    result = lead_to(document, paid("o1", d(3), "100"), completed("o1", d(4)), earlier | {"time": d(1)})
    assert result.available == 100


def test_a_campaign_is_that_of_the_version_of_the_paid_time() -> None:
    first = with_rules(campaign("member-day", "2", 1, 9))
    second = with_rules() | {"version": "2026.2", "effective_from": d(5, "00:00")}
    for day, points in ((4, 200), (5, 100)):
        assert lead_to([first, second], paid("o1", d(day), "100"), completed("o1", d(6))).available == points


def test_N3_a_cap_holds_what_multipliers_give() -> None:
    document = with_rules(campaign("member-day", "2"), cap={"per": "day", "points": 150})
    assert lead_to(document, paid("o1", d(1), "100"), completed("o1", d(2))).available == 150


@pytest.mark.parametrize(
    ("stacking", "words"),
    [
        ("multiply", "800.00 × 1.5 × 1.2 for tier vip × 2 for member-day = 2880;"),
        ("add", "800.00 × 1.5 × 2.2 (added up: 1.2 for tier vip, 2 for member-day) = 2640;"),
        ("max", "800.00 × 1.5 × 2 (the largest of 1.2 for tier vip, 2 for member-day) = 2400;"),
    ],
)
def test_N4_the_explanation_names_each_multiplier_met(stacking: str, words: str) -> None:
    document = with_rules(campaign("member-day", "2"), campaign("later", "3", 7, 9), stacking=stacking)
    ledger = MemoryLedger(document, tiers="received")
    for event in (VIP, paid("o1", d(1), "800")):
        ledger.arrive(event, instant(event["time"]))
    [reason] = ledger.journal[-1].outcome.reasons
    result = sum_json(reason, ledger.programs)
    assert result["multipliers"] == {"tier vip": "1.2", "member-day": "2"}
    assert result["stacking"] == stacking
    assert words in describe(entry(reason.points), ledger.programs.by_number[1], reason)
