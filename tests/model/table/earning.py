"""N1, N5, N9, R3, N4: what an order earns, also in proportion to what is left of it, and how it shows its working."""

from __future__ import annotations

from fractions import Fraction

from tests.model.events import cancelled, completed, d, gift_card, line, paid, part, refunded, tier
from tests.model.program import Program, program
from tests.model.table.case import PURCHASE, Case, HistoryStep, Then, entry, order

BANDS = PURCHASE["earn"][0]["bands"]


def earns(name: str, amount: str, points: int, programs: Program = PURCHASE, at_tier: str = "none") -> Case:
    """A completed order of one line, by a member of that tier."""
    known: list[HistoryStep] = [] if at_tier == "none" else [tier([(d(-9), at_tier)], version=1)]
    steps = [*known, paid("o1", d(1), amount), completed("o1", d(5)), Then(earned=points, available=points)]
    return Case("N1", name, steps, programs, "received")


def with_bands(mode: str, steps: list[dict[str, object]]) -> Program:
    return program(["purchase"], rule={"purchase": {"bands": {"mode": mode, "steps": steps}}})


def rounding(how: str) -> Program:
    return program(["purchase"], points={"rounding": how})


N1 = [
    earns("below_the_first_edge", "199.99", 199),  # 199.99 x 1 = 199.99
    earns("both_edges_are_in_the_middle_band_200", "200", 300),  # 200 x 1.5
    earns("both_edges_are_in_the_middle_band_800", "800", 1200),  # 800 x 1.5
    earns("just_above_the_upper_edge", "800.01", 1600),  # 800.01 x 2 = 1600.02
    earns("whole_band", "801", 1602),  # 801 x 2
    earns("marginal_band", "801", 1102, with_bands("marginal", BANDS["steps"])),  # 200 + 600 x 1.5 + 1 x 2
    earns("senior_below_the_edge", "199.99", 219, at_tier="senior"),  # 199.99 x 1.1 = 219.989
    earns("senior_at_the_edge", "200", 330, at_tier="senior"),  # 200 x 1.5 x 1.1
    earns("vip", "800.01", 1920, at_tier="vip"),  # 800.01 x 2 x 1.2 = 1920.024
    earns("supreme", "801", 2403, at_tier="supreme"),  # 801 x 2 x 1.5
    earns("fixed_rate", "399.90", 399, with_bands("whole", [{"rate": "1"}])),
    earns("half_up_rounds_a_half_up", "0.50", 1, rounding("half_up")),
    earns("half_up_rounds_less_down", "0.49", 0, rounding("half_up")),
    earns("half_up_after_all_multipliers", "199.99", 220, rounding("half_up"), "senior"),  # 219.989
    earns("ceil_rounds_up", "199.01", 200, rounding("ceil")),
    earns("below_the_minimum_spend", "99.99", 0, program(["purchase"], rule={"purchase": {"min_spend": "100"}})),
    earns("at_the_minimum_spend", "100", 100, program(["purchase"], rule={"purchase": {"min_spend": "100"}})),
    Case(
        "N1",
        "rounds_once_an_order_not_once_a_line",
        [
            paid("o1", d(1), [line(f"l{i}", "33.60") for i in range(3)]),
            completed("o1", d(5)),
            Then(earned=100),  # 3 x 33.60 = 100.80 -> 100, not 3 x 33
        ],
        PURCHASE,
    ),
]

N5 = [
    Case(
        "N5",
        "band_and_rate_look_at_eligible_lines_alone",
        [
            paid("o1", d(1), [line("l1", "500"), gift_card("l2", "400")]),
            completed("o1", d(5)),
            # 500 x 1.5: not the band of 900, and nothing for the gift card
            Then(earned=750, orders=order(timeline=[entry(d(5), "500", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "N5",
        "an_excluded_article",
        [
            paid("o1", d(1), [line("l1", "100"), line("l2", "100", sku="sample")]),
            completed("o1", d(5)),
            Then(earned=100),
        ],
        program(["purchase"], rule={"purchase": {"exclude": {"categories": [], "skus": ["sample"]}}}),
    ),
]

PROPORTIONAL = program(
    ["purchase"],
    points={"refund": {"mode": "proportional", "returned_expired": {"grace_days": 30}, "park_days": 30}},
)

R3 = [
    Case(
        "R3",
        "proportional_takes_the_part_that_was_refunded",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            Then(available=1800),
            refunded("o1", d(6), "200", refund="r1"),
            Then(available=1400),  # 1800 x 200 / 900 = 400, though 700 would earn at the lower band
            refunded("o1", d(7), "550", refund="r2"),
            Then(available=300),  # 1800 x 750 / 900 = 1500
            refunded("o1", d(8), "150", refund="r3"),
            Then(available=0, debt=0),
        ],
        PROPORTIONAL,
    ),
    Case(
        "R3",
        "it_is_rounded_on_all_refunds_together",
        [
            paid("o1", d(1), "199.99"),
            completed("o1", d(5)),
            Then(available=199),
            refunded("o1", d(6), "0.50", refund="r1"),
            Then(available=199),  # 199.99 x 199.49 / 199.99 = 199.49
            refunded("o1", d(7), "0.49", refund="r2"),
            Then(available=199),  # 199.00 is left
            refunded("o1", d(8), "0.01", refund="r3"),
            Then(available=198),  # 198.99 is left
            refunded("o1", d(9), "198.99", refund="r4"),
            Then(available=0, debt=0),
        ],
        PROPORTIONAL,
    ),
    Case(
        "R3",
        "while_pending_it_shrinks_what_is_pending",
        [
            paid("o1", d(1), [line("l1", "600"), line("l2", "300")]),
            completed("o1", d(5), [part("l1")]),
            Then(available=1200, pending=600),  # at the whole order's band, 2 a unit
            refunded("o1", d(6), [part("l2", "100")]),
            Then(available=1200, pending=400),  # 1800 - 1800 x 100 / 900 = 1600
            completed("o1", d(7), [part("l2")]),
            Then(available=1600, pending=0),
        ],
        PROPORTIONAL,
    ),
    Case(
        "R3",
        "of_the_eligible_lines_net_of_points",
        [
            paid("o0", d(-5), "4500"),
            completed("o0", d(-4)),
            paid("o1", d(1), [line("l1", "900"), gift_card("l2", "500")], points_used=9000, points_value="90"),
            Then(pending=1620, available=0),  # 900 - 90 = 810 x 2
            refunded("o1", d(5), [part("l2", "500")], refund="r1"),
            Then(pending=1620),
            refunded("o1", d(6), [part("l1", "200")], refund="r2"),
            # net 630 of 810 is left, 180 refunded: 1620 x 180 / 810 = 360; 2,000 of the points used return
            Then(pending=1260, available=2000, orders=order(points_returned=2000)),
            cancelled("o1", d(7)),
            Then(pending=0, available=9000),
        ],
        PROPORTIONAL,
        "received",
    ),
]

N4 = [
    Case(
        "N4",
        "an_order_shows_its_working",
        [
            tier([(d(-9), "senior")], version=1),
            paid("o1", d(1), "199.99"),
            Then(
                orders=order(
                    working=(
                        {
                            "rule": "purchase",
                            "version": "2026.1",
                            "tier": "senior",
                            "amount": Fraction("199.99"),
                            "rate": Fraction(1),
                            "multiplier": Fraction("1.1"),
                            "exact": Fraction("219.989"),
                            "points": 219,
                        },
                    )
                )
            ),
        ],
        PURCHASE,
        "received",
    ),
]

TEA = {"rule": "tea", "on": "order", "each_full": "2.50", "points": 5}
FULL = program([], more=[TEA | {"tier_multiplier": {"senior": "1.1"}}])
PROPORTIONAL = {"mode": "proportional", "returned_expired": {"grace_days": 30}, "park_days": 30}
TEA_DAY = {"from": d(0), "to": d(3), "multiplier": "1.5"}


def full(name: str, amount: str, points: int, programs: Program = FULL, at_tier: str = "none") -> Case:
    """A completed order of one line that earns for each full amount."""
    made = earns(name, amount, points, programs, at_tier)
    return Case("N9", name, made.steps, programs, "received")


N9 = [
    full("each_full_amount_earns", "9.90", 15),  # 3 x 5; 2.40 are beyond the last full 2.50
    full("nothing_is_full", "2.49", 0),
    full("just_full", "2.50", 5),
    full("multipliers_come_before_the_one_rounding", "9.90", 16, at_tier="senior"),  # 15 x 1.1 = 16.5
    full("a_least_spend_holds", "9.90", 0, program([], more=[TEA | {"min_spend": "10"}])),
    full(
        "a_campaign_multiplies_it",
        "9.90",
        22,  # 15 x 1.5 = 22.5
        program([], more=[TEA, {"rule": "tea-day", "on": "order", "campaign": TEA_DAY}]),
    ),
    Case(
        "N9",
        "a_refund_takes_what_is_full_no_more",
        [
            paid("o1", d(1), "9.90"),
            completed("o1", d(2)),
            refunded("o1", d(3), "2.40", refund="r1"),  # 7.50 are left: 3 x 5 still
            Then(available=15),
            refunded("o1", d(4), "0.01", refund="r2"),  # 7.49: 2 x 5
            Then(available=10),
            refunded("o1", d(5), "7.49", refund="r3"),
            Then(available=0),
        ],
        FULL,
    ),
    Case(
        "N9",
        "what_points_paid_makes_nothing_full",
        [
            paid("o1", d(1), "9.90", points_used=250, points_value="2.50"),  # 7.40: 2 x 5
            completed("o1", d(2)),
            Then(earned=10, debt=240),  # of 250 that were not there
        ],
        FULL,
    ),
    Case(
        "N9",
        "completed_lines_confirm_their_part",
        [
            paid("o1", d(1), [line("l1", "5"), line("l2", "4.90")]),  # 9.90: 15
            completed("o1", d(2), [part("l1")]),
            Then(available=7, pending=8),  # 5.00 of 9.90: 15 x 5 / 9.9 = 7.57
            completed("o1", d(3), [part("l2")]),
            Then(available=15, pending=0),
        ],
        FULL,
    ),
    Case(
        "N9",
        "a_proportional_refund_keeps_its_part_of_the_whole",
        [
            paid("o1", d(1), "10"),  # 4 x 5 = 20
            completed("o1", d(2)),
            refunded("o1", d(3), "2.60"),  # 7.40 of 10: 20 x 0.74 = 14.8
            Then(available=14),
        ],
        program([], more=[TEA], points={"refund": PROPORTIONAL}),
    ),
]

CASES = [*N1, *N9, *N5, *R3, *N4]
