"""E6, E5, P6, X1: points that go from one member to another keep their days, and are as many as the program lets go."""

from __future__ import annotations

from tests.model.events import completed, d, paid
from tests.model.program import program
from tests.model.table.case import (
    HUNDRED,
    LOT1,
    LOT2,
    MARCH_LOT,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    Then,
    give_back,
    receive,
    redeem,
    send,
    spender,
    until,
)

LIMITED = program(["purchase"], transfers={"allowed": True, "minimum": 10, "per_day": 60, "per_month": 100})
AND_LATER = [
    program(["purchase"], transfers={"allowed": True, "per_day": 60}),
    program(["purchase"], transfers={"allowed": False}, version="2026.2", effective_from="2026-03-08T00:00:00+08:00"),
]
RICH = [paid("o1", d(1), "500"), completed("o1", d(5))]
"""500 x 1.5 = 750 points."""

X1 = [
    Case(
        "X1",
        "a_member_gives_as_many_a_day_and_a_month_as_the_program_says",
        [
            *RICH,
            send(d(6), 9, reference="few"),
            send(d(6), 61, reference="many"),
            send(d(6), 40, reference="t1"),
            send(d(6, "23:59:59"), 21, reference="one-too-many"),
            send(d(6, "23:59:59"), 20, reference="t2"),  # 60 of 60 on that day
            send(d(7, "00:00"), 41, reference="beyond-march"),  # 60 + 41 > 100
            send(d(7, "00:00"), 40, reference="t3"),  # 100 of 100 in March
            send(d(31, "23:59:59"), 10, reference="still-march"),
            send(d(32, "00:00"), 60, reference="t4"),  # 1 April
            Then(
                available=590,  # 750 - 40 - 20 - 40 - 60
                in_transit=160,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("Send few", "transfer_below_minimum"),
                    ("Send many", "beyond_day_limit"),
                    ("Send t1", "booked"),
                    ("Send one-too-many", "beyond_day_limit"),
                    ("Send t2", "booked"),
                    ("Send beyond-march", "beyond_month_limit"),
                    ("Send t3", "booked"),
                    ("Send still-march", "beyond_month_limit"),
                    ("Send t4", "booked"),
                ],
            ),
        ],
        LIMITED,
    ),
    Case(
        "X1",
        "the_version_in_force_says_whether_points_may_be_given_at_all",
        [
            *RICH,
            send(d(7, "23:59:59"), 60, reference="t1"),
            send(d(8, "00:00"), 1, reference="t2"),
            receive(d(8, "01:00"), ("2027-03-01", None, 5)),  # what comes in is never refused
            Then(available=695, in_transit=55),
        ],
        AND_LATER,
    ),
    Case(
        "X1",
        "what_is_refused_does_not_count",
        [
            *HUNDRED,
            redeem(d(5, "11:00"), 80),
            send(d(6), 50, reference="t1"),  # 20 are there
            give_back(d(6, "11:00")),
            send(d(6, "12:00"), 60, reference="t2"),
            Then(available=40, in_transit=60),
        ],
        LIMITED,
    ),
]

CASES = [
    *X1,
    Case(
        "E6",
        "points_are_sent_in_spending_order",
        [
            *TWO_LOTS,
            send(d(3), 150),
            Then(
                available=50,
                in_transit=150,
                redeemed=0,
                sent={"t1": [("2027-03-01", None, 100), ("2027-03-02", None, 50)]},
                lots={LOT1: {"available": 0}, LOT2: {"available": 50}},
            ),
        ],
        SPENDING,
    ),
    Case(
        "E5",
        "and_received_they_keep_their_days",
        [
            *HUNDRED,
            receive(d(6), ("2026-03-20", None, 40), ("2026-04-01", None, 10)),
            Then(available=150, in_transit=-50, earned=100, lots={MARCH_LOT: {"available": 110}}),
            spender("s1", d(7), 20),
            Then(lots={("2026-03-20", None): {"available": 20}}),
            until(d(21, "00:00")),
            Then(available=110, expired=20),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E5",
        "told_twice_they_come_once_and_refused_they_do_not_go",
        [
            *HUNDRED,
            send(d(6), 101),
            send(d(6), 60),
            send(d(6), 10),
            send(d(6), 0, reference="t2"),
            receive(d(7), ("2026-04-20", None, 5), reference="t9"),
            receive(d(8), ("2026-04-20", None, 5), reference="t9"),
            Then(
                available=45,
                in_transit=55,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("Send t1", "insufficient_points"),
                    ("Send t1", "booked"),
                    ("Send t1", "reference_used"),
                    ("Send t2", "points_not_positive"),
                    ("Receive t9", "booked"),
                    ("Receive t9", "known"),
                ],
            ),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P6",
        "what_is_received_pays_debt",
        [spender("s1", d(3), 30), receive(d(4), ("2026-04-20", None, 50)), Then(debt=0, available=20)],
        SPENDING,
    ),
    Case(
        "P6",
        "unless_its_day_is_over",
        [spender("s1", d(3), 30), receive(d(4), ("2026-03-03", None, 50)), Then(debt=30, available=0, expired=50)],
        SPENDING,
    ),
]
