"""P1, P2: what points pay of an order, part by part, and what returns of them with a refund."""

from __future__ import annotations

from tests.model.events import completed, d, gift_card, line, paid, part, refunded
from tests.model.program import program
from tests.model.table.case import PURCHASE, Case, Then, order

RICH = [paid("o0", d(-5), "4500"), completed("o0", d(-4))]
"""9,000 points (4500 x 2). Tiers are `received` where it is used, so that it makes nobody supreme."""

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
            Then(pending=0, orders=order(points_used=2000, alarms=frozenset({"value_beyond_order"}))),
            refunded("o1", d(2), "5"),
            Then(orders=order(points_returned=1000), pending=0),
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

CASES = [*P1, *P2]
