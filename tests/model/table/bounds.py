"""O12: what passes a bound is refused where it enters, and changes nothing."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, gift_card, line, paid, refunded, signed_in
from tests.model.program import program
from tests.model.table.case import PURCHASE, Case, Then, late

LARGEST = "999999999999.99"
"""Twelve digits before the point: the largest amount that an event may say."""

RICH = program(["purchase", "sign-in"], rule={"purchase": {"bands": {"mode": "whole", "steps": [{"rate": "9007"}]}}})
"""9,007 points a yuan: the largest order earns floor(999,999,999,999.99 x 9,007) = 9,006,999,999,999,909."""

RICHEST = program(["purchase", "sign-in"], rule={"purchase": {"bands": {"mode": "whole", "steps": [{"rate": "9008"}]}}})
"""9,008 points a yuan: the largest order would earn 9,007,999,999,999,909, and 2^53 - 1 is 9,007,199,254,740,991."""

SEEN = [("o1:paid:0", "out_of_range")]

O12: list[Case] = [
    Case(
        "O12",
        "an_order_has_twelve_digits_before_the_point_in_all",
        [
            paid("o1", d(1), [line("l1", LARGEST), line("l2", "0.01")]),
            Then(pending=0, outcomes=SEEN),
            # The same event may come again with less, for nothing is known of it.
            late(paid("o1", d(1), [line("l1", LARGEST), line("l2", "0.00")]), d(2)),
            Then(pending=1_999_999_999_999, outcomes=[*SEEN, ("o1:paid:0", "booked")]),
        ],
        PURCHASE,
    ),
    Case(
        "O12",
        "shipping_and_tax_count",
        [
            paid("o1", d(1), [line("l1", "999999999998.99")], shipping="0.50", tax="0.51"),
            paid("o2", d(1), [gift_card("l1", LARGEST)], shipping="0.01"),
            paid("o3", d(1), [line("l1", "999999999998.99")], shipping="0.50", tax="0.50"),
            Then(pending=1_999_999_999_997, outcomes=[*SEEN, ("o2:paid:0", "out_of_range"), ("o3:paid:0", "booked")]),
        ],
        PURCHASE,
    ),
    Case(
        "O12",
        "a_growth_value_has_twelve_digits_whatever_is_refunded_later",
        [
            paid("o1", d(1), LARGEST),
            # Gift cards are no part of the growth value.
            paid("o2", d(2), [gift_card("l1", LARGEST)]),
            paid("o3", d(3), "0.01"),
            completed("o1", d(4)),
            refunded("o1", d(5), "500"),
            late(paid("o3", d(3), "0.01"), d(6)),
            cancelled("o1", d(7)),
            late(paid("o3", d(3), "0.01"), d(8)),
            Then(
                earned=0,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o2:paid:0", "booked"),
                    ("o3:paid:0", "out_of_range"),
                    ("o1:completed", "booked"),
                    ("o1:refunded:r1", "booked"),
                    ("o3:paid:0", "out_of_range"),
                    ("o1:cancelled", "booked"),
                    ("o3:paid:0", "out_of_range"),
                ],
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O12",
        "a_revision_that_lowers_a_line_makes_room",
        [
            paid("o1", d(1), LARGEST),
            paid("o2", d(2), "0.01"),
            paid("o1", d(1), "999999999999.98", revision=1),
            late(paid("o2", d(2), "0.01"), d(3)),
            Then(
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o2:paid:0", "out_of_range"),
                    ("o1:paid:1", "booked"),
                    ("o2:paid:0", "booked"),
                ]
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O12",
        "points_leave_room_for_what_follows_from_them",
        [
            paid("o1", d(1), LARGEST),
            signed_in(d(1), id="in"),
            Then(pending=9_006_999_999_999_909, available=5, outcomes=[("o1:paid:0", "booked"), ("in", "booked")]),
        ],
        RICH,
    ),
    Case(
        "O12",
        "points_beyond_their_bound_are_refused",
        [
            paid("o1", d(1), LARGEST),
            signed_in(d(1), id="in"),
            Then(pending=0, available=5, orders={}, outcomes=[*SEEN, ("in", "booked")]),
        ],
        RICHEST,
    ),
    Case(
        "O12",
        "points_used_beyond_the_bound_are_refused",
        [
            paid("o1", d(1), "100", points_used=2**53 - 1, points_value="10"),
            paid("o2", d(1), "100", points_used=2**53 - 1 - 10**9, points_value="10"),
            Then(debt=2**53 - 1 - 10**9, outcomes=[*SEEN, ("o2:paid:0", "booked")]),
        ],
        PURCHASE,
    ),
]

CASES = O12
