"""P1, P2, P8: what points pay of an order, part by part, what returns with a refund, and what is beyond the program."""

from __future__ import annotations

from typing import Any

from tests.model.events import Event, cancelled, completed, d, gift_card, line, paid, part, refunded
from tests.model.program import DEFAULT, Program, program
from tests.model.table.case import PURCHASE, Case, Then, hold, late, order, redeem

RICH = [paid("o0", d(-5), "4500"), completed("o0", d(-4))]
"""9,000 points (4500 x 2). Tiers are `received` where it is used, so that it makes nobody supreme."""

BEYOND_PROGRAM = frozenset({"points_beyond_program"})
BEYOND_BOTH = BEYOND_PROGRAM | {"value_beyond_order"}


def card_and_tea(**more: Any) -> Event:
    """An order of a gift card of ¥100, which points cannot pay, and tea of ¥1: 4,000 points worth ¥40 are used."""
    bought = [gift_card("card", "100"), line("tea", "1")]
    return paid("o1", d(1), bought, points_used=4000, points_value="40", **more)


CARD_TEA_AND_POT = [gift_card("card", "100"), line("tea", "1"), line("pot", "79")]

P1 = [
    Case(
        "P1",
        "what_points_paid_earns_nothing",
        [
            *RICH,
            paid("o1", d(1), "900", points_used=9000, points_value="90"),
            Then(pending=1620, available=0, debt=0),  # 900 - 90 = 810 x 2
            completed("o1", d(2)),
            refunded("o1", d(5), "200"),
            # 700 left, less 90 - floor(90 x 200 / 900) = 70: 630 x 1.5 = 945, so 675 are taken; 2,000 return
            Then(available=945 + 2000, orders=order(points_returned=2000, earned_confirmed=945)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P1",
        "the_band_is_that_of_the_net",
        [
            *RICH,
            paid("o1", d(1), "810", points_used=9000, points_value="90"),
            Then(pending=1080),  # 720 x 1.5
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P1",
        "base_gross_earns_on_all",
        [
            *RICH,
            paid("o1", d(1), "900", points_used=9000, points_value="90"),
            Then(pending=1800),
            refunded("o1", d(5), "200"),
            Then(pending=1050, available=2000),  # 700 x 1.5
        ],
        program(["purchase"], rule={"purchase": {"base": "gross"}}),
        "received",
    ),
]

P2 = [
    Case(
        "P2",
        "half_the_goods_half_the_points",
        [
            *RICH,
            paid("o1", d(1), "100", points_used=2000, points_value="20"),
            Then(pending=80),
            refunded("o1", d(5), "50"),
            Then(pending=40, orders=order(points_returned=1000)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "largest_remainder_ties_to_the_earlier",
        [
            *RICH,
            # 33.33 each, points and cents: 34, 33, 33
            paid("o1", d(1), [line(f"l{i}", "10") for i in (1, 2, 3)], points_used=100, points_value="1.00"),
            Then(pending=29),  # 30 - 1 = 29.00
            refunded("o1", d(2), [part("l2", "10")], refund="r2"),
            Then(orders=order(points_returned=33), pending=19),  # (10 - 0.34) + (10 - 0.33) = 19.33
            refunded("o1", d(3), [part("l1", "10")], refund="r1"),
            Then(orders=order(points_returned=67), pending=9),  # 9.67
            refunded("o1", d(4), [part("l3", "10")], refund="r3"),
            Then(orders=order(points_returned=100), pending=0),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "a_part_takes_its_floor_and_the_last_part_the_rest",
        [
            *RICH,
            paid("o1", d(1), [line(f"l{i}", "10") for i in (1, 2, 3)], points_used=100, points_value="1.00"),
            refunded("o1", d(2), "3.33", refund="r1"),
            Then(orders=order(points_returned=11)),  # floor(34 x 333 / 1000) = floor(11.322)
            refunded("o1", d(3), "3.33", refund="r2"),
            Then(orders=order(points_returned=22)),  # floor(34 x 666 / 1000) = floor(22.644)
            refunded("o1", d(4), "3.34", refund="r3"),
            Then(orders=order(points_returned=34)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "not_over_lines_that_points_cannot_pay",
        [
            *RICH,
            paid("o1", d(1), [line("l1", "50"), gift_card("l2", "50")], points_used=100, points_value="1.00"),
            Then(pending=49),
            refunded("o1", d(2), [part("l2", "50")]),
            Then(orders=order(points_returned=0), pending=49),
            refunded("o1", d(3), [part("l1", "50")], refund="r2"),
            Then(orders=order(points_returned=100), pending=0),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "value_beyond_the_order_is_ignored_and_alarmed",
        [
            *RICH,
            paid("o1", d(1), "10", points_used=2000, points_value="20"),
            # 10 of 20 count: floor(2000 x 10 / 20) = 1000
            Then(available=8000, redeemed=1000, pending=0, orders=order(points_used=1000, alarms=BEYOND_BOTH)),
            refunded("o1", d(2), "5"),
            Then(orders=order(points_returned=500), available=8500, pending=0),
            cancelled("o1", d(3)),
            Then(orders=order(points_returned=1000), available=9000),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "what_stood_for_goods_that_points_cannot_pay_comes_back_at_once",
        [
            *RICH,
            card_and_tea(),
            # 1 of 40 counts: floor(4000 x 1 / 40) = 100
            Then(available=8900, redeemed=100, returned=0, orders=order(points_used=100, alarms=BEYOND_BOTH)),
            refunded("o1", d(2), [part("tea", "1")]),
            Then(available=9000, orders=order(points_returned=100)),
            refunded("o1", d(3), [part("card", "100")], refund="r2"),
            Then(available=9000, orders=order(points_returned=100)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "with_nothing_that_points_can_pay_all_come_back",
        [
            *RICH,
            paid("o1", d(1), [gift_card("card", "100")], points_used=4000, points_value="40"),
            Then(available=9000, redeemed=0, orders=order(points_used=0, alarms=BEYOND_BOTH)),
            refunded("o1", d(2), [part("card", "100")]),
            Then(available=9000, returned=0),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "what_is_used_is_rounded_down",
        [
            *RICH,
            paid("o1", d(1), "2", points_used=100, points_value="3"),  # floor(100 x 2 / 3) = 66
            Then(available=8934, redeemed=66, orders=order(points_used=66, alarms=BEYOND_BOTH)),
            refunded("o1", d(2), "1"),
            Then(available=8967, orders=order(points_returned=33)),
            refunded("o1", d(3), "1", refund="r2"),
            Then(available=9000, orders=order(points_returned=66)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "a_value_that_only_the_program_says_is_no_other",
        [
            *RICH,
            paid("o1", d(1), [gift_card("card", "100"), line("tea", "1")], points_used=4000),
            Then(available=8900, redeemed=100, orders=order(points_used=100, alarms=BEYOND_BOTH)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "only_what_counts_is_owed",
        [
            paid("o0", d(-5), "50"),
            completed("o0", d(-4)),
            card_and_tea(),
            # 50 of the 100 are there
            Then(available=0, debt=50, redeemed=100, orders=order(alarms=BEYOND_BOTH | {"points_short"})),
            cancelled("o1", d(3)),
            Then(available=50, debt=0),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "a_revision_with_more_to_pay_uses_more",
        [
            *RICH,
            card_and_tea(),
            paid("o1", d(1), CARD_TEA_AND_POT, points_used=4000, points_value="40", revision=1),
            Then(available=5000, redeemed=4000, orders=order(points_used=4000, alarms=frozenset())),
            late(card_and_tea(id="again"), d(2)),
            Then(available=5000),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "also_where_the_revision_comes_first",
        [
            *RICH,
            late(paid("o1", d(1), [gift_card("card", "100")], points_used=4000, points_value="40", revision=1), d(2)),
            late(card_and_tea(), d(3)),
            Then(available=9000, redeemed=0, orders=order(points_used=0)),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "of_a_redemption_too",
        [
            *RICH,
            redeem(d(0), 4000),
            Then(available=5000),
            card_and_tea(redemption="r1"),
            Then(
                available=8900,
                redeemed=100,
                redemptions={"r1": {"points": 4000, "returned": 0, "surplus": 3900}},
                orders=order(points_used=100),
            ),
            cancelled("o1", d(3)),
            Then(available=9000),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "of_a_hold_too",
        [
            *RICH,
            hold(d(1, "09:50"), 4000),
            card_and_tea(hold="h1"),
            Then(available=8900, held=0, holds={"h1": {"state": "captured", "points": 4000, "captured": 100}}),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "points_that_are_worth_nothing_stand_for_nothing",
        [
            *RICH,
            paid("o1", d(1), [gift_card("card", "100")], points_used=100, points_value="0"),
            # no value is beyond what is there; with nothing to apportion over they come back with a cancellation alone
            Then(available=8900, orders=order(points_used=100, alarms=frozenset({"points_beyond_program"}))),
            refunded("o1", d(2), [part("card", "100")]),
            Then(available=8900),
            cancelled("o1", d(3)),
            Then(available=9000),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P2",
        "shipping_and_tax_take_their_shares",
        [
            *RICH,
            # 100 points over 70, 20 and 10: 70, 20, 10
            paid("o1", d(1), "70", shipping="20", tax="10", points_used=100, points_value="1.00"),
            Then(pending=69),  # 70 - 0.70 = 69.30
            refunded("o1", d(2), "70", shipping="20"),
            Then(orders=order(points_returned=90)),
            refunded("o1", d(3), tax="10", refund="r2"),
            Then(orders=order(points_returned=100)),
        ],
        PURCHASE,
        "received",
    ),
]


def offset(**options: Any) -> Program:
    """A program whose points pay as the default's do, but for these options."""
    usual = DEFAULT["redeem"]["cash_offset"]
    return program(["purchase"], redeem={"cash_offset": {**usual, **options}})


def using(points: int, value: str | None, programs: Program, *alarms: str, name: str) -> Case:
    """An order of ¥100 of goods and a gift card of ¥100 that uses points."""
    bought = [line("l1", "100"), gift_card("l2", "100")]
    return Case(
        "P8",
        name,
        [
            *RICH,
            paid("o1", d(1), bought, points_used=points, points_value=value),
            Then(orders=order(points_used=points, alarms=frozenset(alarms)), redeemed=points, available=9000 - points),
        ],
        programs,
        "received",
    )


STEPS = offset(minimum=100, step=100)
BEYOND = "points_beyond_program"

P8 = [
    using(99, "60", PURCHASE, BEYOND, name="a_point_is_worth_more_than_the_program_says"),  # not 0.99
    using(99, "0.99", PURCHASE, name="what_the_program_says_is_not_beyond_it"),
    using(99, "1.00", PURCHASE, BEYOND, name="a_cent_more_is"),
    using(99, "0.10", PURCHASE, name="less_than_the_program_says_is_not_beyond_it"),
    using(99, None, PURCHASE, name="a_value_that_is_not_told_is_the_program_s"),
    using(100, "1.00", STEPS, name="the_minimum_itself"),
    using(99, "0.99", STEPS, BEYOND, name="below_the_minimum"),
    using(150, "1.50", STEPS, BEYOND, name="off_the_step"),
    using(0, None, STEPS, name="no_points_are_not_below_the_minimum"),
    using(5000, "50", PURCHASE, name="the_largest_share_itself"),  # half of ¥100: points pay no gift card
    using(5001, "50.01", PURCHASE, BEYOND, name="beyond_the_largest_share"),
    using(5001, "0", PURCHASE, BEYOND, name="beyond_the_largest_share_whatever_they_are_said_to_be_worth"),
    using(300, "60", program(["purchase"], redeem={}), name="a_program_without_an_offset_has_no_limits"),
    Case(
        "P8",
        "it_is_booked_as_told",
        [
            *RICH,
            paid("o1", d(1), "100", points_used=99, points_value="60"),
            Then(available=8901, pending=40, orders=order(alarms=BEYOND_PROGRAM)),  # 100 - 60
            refunded("o1", d(2), "50"),
            Then(pending=20, orders=order(points_returned=49, alarms=BEYOND_PROGRAM)),  # floor(99 / 2)
            paid("o1", d(1), "100", points_used=99, points_value="0.99", revision=1),
            Then(orders=order(alarms=frozenset())),  # the revision is within the limits
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "P8",
        "the_limits_are_those_of_the_paid_time",
        [
            *RICH,
            paid("o1", d(1), "100", points_used=50, points_value="0.50"),
            late(paid("o2", d(9), "100", points_used=50, points_value="0.50"), d(9)),
            Then(orders={"o1": {"alarms": frozenset()}, "o2": {"alarms": BEYOND_PROGRAM}}),
        ],
        [PURCHASE, STEPS | {"version": "2026.2", "effective_from": d(5)}],
        "received",
    ),
]

CASES = [*P1, *P2, *P8]
