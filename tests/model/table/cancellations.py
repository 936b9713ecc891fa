"""R13: which of cancellations and reinstatements holds, and what a reinstated order is worth."""

from __future__ import annotations

from itertools import permutations

from tests.model.events import (
    cancelled,
    completed,
    d,
    gift_card,
    line,
    paid,
    part,
    refunded,
    reinstated,
    shipped,
)
from tests.model.table.case import (
    FIRST,
    LOT1,
    LOT2,
    MARCH_LOT,
    PURCHASE,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    Then,
    capture,
    entry,
    hold,
    late,
    order,
    redeem,
    spender,
    until,
)

R13 = [
    Case(
        "R13",
        "a_reinstated_order_is_as_if_it_had_never_been_cancelled",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            Then(available=200),
            cancelled("o1", d(6)),
            Then(available=0, orders=order(timeline=[entry(d(5), "100", 1), entry(d(6), "-100", -1)])),
            reinstated("o1", d(8)),
            Then(
                available=200,
                debt=0,
                orders=order(timeline=[entry(d(5), "100", 1)]),
                lots={LOT1: {"available": 200}},
            ),
            reinstated("o1", d(8), id="again"),
            Then(
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("o1:cancelled", "booked"),
                    ("o1:reinstated", "booked"),
                    ("again", "known"),
                ]
            ),
        ],
        FIRST,
    ),
    *[
        Case(
            "R13",
            f"the_latest_holds_whichever_came_first_{number}",
            [
                paid("o1", d(1), "100"),
                completed("o1", d(2)),
                *[late(event, d(20, f"1{place}:00")) for place, event in enumerate(told)],
                # cancelled on day 3, on again on day 4, cancelled on day 6 and said so once more on day 8
                Then(available=0, debt=0, orders=order(timeline=[entry(d(2), "100", 1), entry(d(6), "-100", -1)])),
            ],
            PURCHASE,
        )
        for number, told in enumerate(
            permutations(
                [
                    cancelled("o1", d(3), id="c3"),
                    reinstated("o1", d(4)),
                    cancelled("o1", d(6), id="c6"),
                    cancelled("o1", d(8), id="c8"),
                ]
            )
        )
    ],
    *[
        Case(
            "R13",
            f"at_one_instant_the_cancellation_{name}",
            [
                paid("o1", d(1), "100"),
                completed("o1", d(2)),
                *[late(event, d(20, f"1{place}:00")) for place, event in enumerate(told)],
                Then(available=0, orders=order(timeline=[entry(d(2), "100", 1), entry(d(4), "-100", -1)])),
            ],
            PURCHASE,
        )
        for name, told in {
            "told_first": [cancelled("o1", d(4)), reinstated("o1", d(4))],
            "told_last": [reinstated("o1", d(4)), cancelled("o1", d(4))],
        }.items()
    ],
    Case(
        "R13",
        "compared_as_they_are_dated_also_before_the_order_was_paid",
        [
            paid("o1", d(5), "100"),
            late(cancelled("o1", d(3)), d(6)),
            Then(pending=0),
            late(reinstated("o1", d(4)), d(6, "11:00")),
            Then(pending=100),
        ],
        PURCHASE,
    ),
    Case(
        "R13",
        "before_its_order_is_paid_it_waits_like_the_cancellation",
        [
            late(reinstated("o1", d(4)), d(5)),
            late(cancelled("o1", d(3)), d(6)),
            late(paid("o1", d(1), "100"), d(7)),
            Then(pending=100),
        ],
        PURCHASE,
    ),
    Case(
        "R13",
        "what_was_received_or_fell_due_meanwhile_counts",
        [
            paid("o1", d(1), [line("l1", "300"), gift_card("l2", "100")]),
            cancelled("o1", d(3)),
            completed("o1", d(5), [part("l1")]),
            until(d(18)),
            Then(available=0, pending=0, orders=order(timeline=[])),
            late(reinstated("o1", d(4)), d(19)),
            Then(
                available=550,  # 300 x 1.5 and the first purchase's 100
                orders=order(timeline=[entry(d(5), "300"), entry(d(17, "00:00"), "0", 1)]),
            ),
        ],
        FIRST,
    ),
    Case(
        "R13",
        "and_what_is_due_later_falls_due",
        [
            paid("o1", d(1), "100"),
            cancelled("o1", d(3)),
            reinstated("o1", d(4)),
            Then(pending=100),
            until(d(17)),
            Then(pending=0, available=100),
        ],
        PURCHASE,
    ),
    Case(
        "R13",
        "no_line_was_confirmed_while_it_was_cancelled",
        [
            paid("o1", d(1), "100"),
            cancelled("o1", d(3)),
            until(d(18)),
            late(shipped("o1", d(10)), d(19)),
            late(reinstated("o1", d(4)), d(20)),
            Then(available=0, pending=100),
            until(d(26)),
            Then(available=100, pending=0),
        ],
        PURCHASE,
    ),
    Case(
        "R13",
        "refunds_after_the_cancellation_count_again",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(2)),
            cancelled("o1", d(3)),
            refunded("o1", d(5), "200"),
            Then(available=0),
            reinstated("o1", d(6)),
            Then(available=1050),  # 700 x 1.5
        ],
        PURCHASE,
    ),
    Case(
        "R13",
        "the_points_it_used_are_used_again",
        [
            *TWO_LOTS,
            hold(d(9), 150),
            spender("s1", d(9, "10:05"), 150, hold="h1"),
            Then(available=50),
            cancelled("s1", d(10)),
            Then(available=200, lots={LOT1: {"available": 100}, LOT2: {"available": 100}}),
            reinstated("s1", d(11)),
            Then(
                available=50,
                debt=0,
                lots={LOT1: {"available": 0}, LOT2: {"available": 50}},
                orders={"s1": {"points_used": 150, "points_returned": 0, "alarms": frozenset()}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "R13",
        "what_of_them_was_spent_meanwhile_is_owed",
        [
            *TWO_LOTS,
            hold(d(9), 150),
            capture(d(9, "10:01")),
            spender("s1", d(9, "10:05"), 150, hold="h1"),
            cancelled("s1", d(10)),
            redeem(d(10, "12:00"), 120),
            Then(available=80),
            reinstated("s1", d(11)),
            # 150 of 80
            Then(available=0, debt=70, orders={"s1": {"owed": 70, "alarms": frozenset({"points_short"})}}),
            late(cancelled("s1", d(12)), d(12)),
            Then(available=80, debt=0),
        ],
        SPENDING,
    ),
    Case(
        "R13",
        "points_whose_last_day_is_over_expire_as_they_come_again",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            cancelled("o1", d(20)),
            Then(available=0),
            reinstated("o1", d(40)),  # 9 April: the lot of 1 April is over
            Then(
                available=0,
                earned=100,
                expired=100,
                orders=order(earned_confirmed=100),
                lots={MARCH_LOT: {"available": 0, "expired": 100}},
            ),
        ],
        SPENDING_MONTH,
    ),
]

CASES = [*R13]
