"""R1, R2, R4, R10, R11, R12: what a refund claws back, and what becomes of one that failed."""

from __future__ import annotations

from tests.model.events import (
    cancelled,
    completed,
    d,
    gift_card,
    line,
    paid,
    part,
    refund_failed,
    refunded,
    shipped,
    tier,
)
from tests.model.table.case import (
    FIRST,
    LOT1,
    LOT2,
    PURCHASE,
    SPENDING,
    TWO_LOTS,
    Case,
    Then,
    entry,
    late,
    order,
    spender,
    until,
)

R1 = [
    Case(
        "R1",
        "clawback_is_earned_so_far_less_what_is_left",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            Then(available=1800),  # 900 x 2
            refunded("o1", d(6), "200", refund="r1"),
            Then(available=1050),  # 700 x 1.5: take 750
            refunded("o1", d(7), "550", refund="r2"),
            Then(available=150),  # 150 x 1: take 900
            refunded("o1", d(8), "150", refund="r3"),
            Then(available=0, debt=0, earned=0),  # take 150
        ],
        PURCHASE,
    ),
    Case(
        "R1",
        "at_the_tier_the_order_was_paid_at",
        [
            tier([(d(0), "vip")], version=1),
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            Then(available=2160),  # 900 x 2 x 1.2
            late(tier([(d(0), "vip"), (d(5), "supreme")], version=2), d(6)),
            refunded("o1", d(7), "200"),
            Then(available=1260),  # 700 x 1.5 x 1.2: take 900
        ],
        PURCHASE,
        "received",
    ),
]

R2 = [
    Case(
        "R2",
        f"the_end_does_not_depend_on_the_split_{name}",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            *[refunded("o1", d(6 + i), part, refund=f"r{i}") for i, part in enumerate(parts)],
            Then(available=150, earned=150),  # 150 x 1
        ],
        PURCHASE,
    )
    for name, parts in {"one": ["750"], "two": ["200", "550"], "cents": ["100.01", "0.99", "649"]}.items()
]

R2 += [
    Case(
        "R2",
        f"points_used_come_back_whole_split_{name}",
        [
            paid("o0", d(0), [line("l1", "500")]),
            completed("o0", d(0, "11:00")),
            Then(available=750),  # 500 x 1.5
            paid("o1", d(1), [line("l1", "7"), line("l2", "3")], points_used=101, points_value="1.01"),
            completed("o1", d(2)),
            # shares of l1: 70.7 -> 71 points (largest remainder), of l2: 30.3 -> 30
            *[refunded("o1", d(6 + i), part, refund=f"r{i}") for i, part in enumerate(parts)],
            Then(orders=order(points_returned=71), available=750 - 101 + 71 + 2),  # l2: 3 - 0.30 -> 2 points
        ],
        PURCHASE,
    )
    for name, parts in {"one": ["7"], "three": ["2.33", "2.33", "2.34"], "odd": ["0.01", "6.98", "0.01"]}.items()
]

R4 = [
    Case(
        "R4",
        "lines_that_earn_nothing_take_nothing",
        [
            paid("o1", d(1), [line("l1", "500"), gift_card("l2", "400")]),
            completed("o1", d(5)),
            refunded("o1", d(6), [part("l2", "400")]),
            Then(earned=750, orders=order(timeline=[entry(d(5), "500", 1)])),
        ],
        PURCHASE,
    ),
]

R10 = [
    Case(
        "R10",
        "shipping_and_tax_change_no_earned_point",
        [
            paid("o1", d(1), "900", shipping="20", tax="50"),
            completed("o1", d(5)),
            refunded("o1", d(6), shipping="20", tax="50"),
            Then(earned=1800, available=1800, orders=order(timeline=[entry(d(5), "900", 1)], alarms=frozenset())),
        ],
        PURCHASE,
    ),
    Case(
        "R10",
        "but_return_their_share_of_the_points_used",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(1, "11:00")),
            # 100 points over goods of ¥90 and shipping of ¥10: 90 and 10
            paid("o2", d(2), "90", shipping="10", points_used=100, points_value="1.00"),
            completed("o2", d(3)),
            Then(available=89),  # 90 - 0.90 = 89.10
            refunded("o2", d(4), shipping="10"),
            Then(available=99, earned=189, orders={"o2": {"points_returned": 10}}),
        ],
        PURCHASE,
    ),
    Case(
        "R10",
        "goodwill_takes_nothing",
        [paid("o1", d(1), "900"), completed("o1", d(5)), refunded("o1", d(6)), Then(earned=1800)],
        PURCHASE,
    ),
]

OVER = [entry(d(3), "100", 1), entry(d(5), "-80"), entry(d(9), "-20", -1)]

R11 = [
    Case(
        "R11",
        f"beyond_a_line_in_order_of_time_{name}",
        [
            paid("o1", d(2), "100"),
            completed("o1", d(3)),
            *[late(refund, d(10 + i)) for i, refund in enumerate(refunds)],
            # ¥80, and of the second ¥80 the ¥20 that are left
            Then(earned=0, orders=order(timeline=OVER, alarms=frozenset({"refund_beyond_line"}))),
        ],
        PURCHASE,
    )
    for name, refunds in {
        "told_in_order": [refunded("o1", d(5), "80", refund="b"), refunded("o1", d(9), "80", refund="a")],
        "told_in_reverse": [refunded("o1", d(9), "80", refund="a"), refunded("o1", d(5), "80", refund="b")],
    }.items()
]

R11 += [
    Case(
        "R11",
        "unknown_lines_take_nothing",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(3)),
            refunded("o1", d(5), [part("l9", "50")]),
            Then(earned=100, orders=order(alarms=frozenset({"unknown_line"}))),
        ],
        PURCHASE,
    ),
    Case(
        "R11",
        "judged_only_when_paid_is_known",
        [
            refunded("o1", d(5), [part("l2", "150")]),
            Then(orders={}, parked=frozenset({("o1", "r1")})),
            late(paid("o1", d(1), [line("l1", "100"), line("l2", "100")]), d(6)),
            Then(pending=100, orders=order(alarms=frozenset({"refund_beyond_line"}))),
        ],
        PURCHASE,
    ),
    Case(
        "R11",
        "a_cancelled_order_ignores_later_refunds",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(3)),
            refunded("o1", d(4), "30"),
            cancelled("o1", d(5)),
            refunded("o1", d(6), "99", refund="r2"),
            Then(
                earned=0,
                orders=order(
                    timeline=[entry(d(3), "100", 1), entry(d(4), "-30"), entry(d(5), "-70", -1)], alarms=frozenset()
                ),
            ),
        ],
        PURCHASE,
    ),
    Case(
        "R11",
        "at_equal_times_cancellation_goes_before_completion",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(3)),
            late(cancelled("o1", d(3)), d(4)),
            Then(earned=0, orders=order(timeline=[])),
        ],
        FIRST,
    ),
    Case(
        "R11",
        "also_at_the_instant_a_line_falls_due",
        [
            paid("o1", d(1), "100"),
            until(d(18)),
            Then(available=200, orders=order(timeline=[entry(d(17, "00:00"), "100", 1)])),
            late(cancelled("o1", d(17, "00:00")), d(19)),
            Then(available=0, debt=0, orders=order(timeline=[])),
        ],
        FIRST,
    ),
    Case(
        "R11",
        "facts_count_no_earlier_than_paid",
        [
            paid("o1", d(2), "100"),
            late(completed("o1", d(1)), d(2, "11:00")),
            late(refunded("o1", d(1, "09:00"), "40"), d(2, "12:00")),
            Then(earned=60, orders=order(timeline=[entry(d(2), "60", 1)])),
            late(shipped("o1", d(1)), d(2, "13:00")),
            Then(earned=60),
        ],
        PURCHASE,
    ),
]

R12 = [
    Case(
        "R12",
        "a_refund_that_failed_never_happened",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            refunded("o1", d(6), "200"),
            Then(available=1050, orders=order(timeline=[entry(d(5), "900", 1), entry(d(6), "-200")])),
            refund_failed("o1", d(9)),
            # ¥900 are left as before: 1,800
            Then(available=1800, earned=1800, orders=order(timeline=[entry(d(5), "900", 1)])),
            refund_failed("o1", d(10), id="again"),
            Then(
                available=1800,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("o1:refunded:r1", "booked"),
                    ("o1:refund_failed:r1", "booked"),
                    ("again", "known"),
                ],
            ),
        ],
        PURCHASE,
    ),
    Case(
        "R12",
        "whichever_of_the_two_came_first_and_for_good",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            refund_failed("o1", d(9)),
            Then(available=1800),
            late(refunded("o1", d(6), "200"), d(10)),
            Then(available=1800, orders=order(timeline=[entry(d(5), "900", 1)])),
            # dated after the failure, under the same id: that refund failed for good
            refunded("o1", d(12), "200", id="told again"),
            Then(available=1800),
        ],
        PURCHASE,
    ),
    Case(
        "R12",
        "another_attempt_has_another_id",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            refunded("o1", d(6), "200", refund="r1"),
            refund_failed("o1", d(9), refund="r1"),
            refunded("o1", d(10), "200", refund="r2"),
            Then(available=1050, orders=order(timeline=[entry(d(5), "900", 1), entry(d(10), "-200")])),
        ],
        PURCHASE,
    ),
    Case(
        "R12",
        "what_it_had_left_no_room_for_counts_again",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(3)),
            refunded("o1", d(5), "80", refund="r1"),
            refunded("o1", d(9), "80", refund="r2"),
            Then(available=0, orders=order(alarms=frozenset({"refund_beyond_line"}))),
            refund_failed("o1", d(11), refund="r1"),
            # of ¥100 the second ¥80 are refunded
            Then(
                available=20,
                orders=order(timeline=[entry(d(3), "100", 1), entry(d(9), "-80")], alarms=frozenset()),
            ),
        ],
        PURCHASE,
    ),
    Case(
        "R12",
        "the_points_it_had_returned_are_used_again",
        [
            *TWO_LOTS,
            spender("s1", d(10), 150),
            refunded("s1", d(12), "200"),
            Then(available=200, lots={LOT1: {"available": 100}, LOT2: {"available": 100}}),
            refund_failed("s1", d(14)),
            Then(
                available=50,
                lots={LOT1: {"available": 0}, LOT2: {"available": 50}},
                orders={"s1": {"points_used": 150, "points_returned": 0}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "R12",
        "success_and_bonus_stand_again",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            Then(available=200),
            refunded("o1", d(6), "100"),
            Then(available=0, orders=order(timeline=[entry(d(5), "100", 1), entry(d(6), "-100", -1)])),
            refund_failed("o1", d(9)),
            Then(available=200, orders=order(timeline=[entry(d(5), "100", 1)])),
        ],
        FIRST,
    ),
    Case(
        "R12",
        "a_line_that_was_not_sent_back_after_all_holds_up_the_success_again",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            completed("o1", d(5), [part("l1")]),
            refunded("o1", d(7), [part("l2", "300")]),
            Then(orders=order(timeline=[entry(d(5), "300"), entry(d(7), "0", 1)])),
            refund_failed("o1", d(8)),
            Then(available=450, pending=450, orders=order(timeline=[entry(d(5), "300")])),
            until(d(17)),
            Then(available=1000, orders=order(timeline=[entry(d(5), "300"), entry(d(17, "00:00"), "300", 1)])),
        ],
        FIRST,
    ),
    Case(
        "R12",
        "a_refund_that_failed_waits_for_no_order",
        [
            refunded("o1", d(5), "200"),
            refunded("o1", d(5), "100", refund="r2"),
            Then(parked=frozenset({("o1", "r1"), ("o1", "r2")})),
            refund_failed("o1", d(6)),
            Then(
                parked=frozenset({("o1", "r2")}),
                outcomes=[
                    ("o1:refunded:r1", "parked"),
                    ("o1:refunded:r2", "parked"),
                    ("o1:refund_failed:r1", "parked"),
                ],
            ),
            until(d(36)),
            Then(reported=frozenset({("o1", "r2")})),
            late(paid("o1", d(35), "900"), d(37)),
            Then(pending=1200),  # 800 x 1.5
        ],
        PURCHASE,
    ),
]

CASES = [*R1, *R2, *R4, *R10, *R11, *R12]
