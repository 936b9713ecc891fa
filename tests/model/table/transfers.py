"""E6, E5, P6: points that go from one member to another keep their days."""

from __future__ import annotations

from tests.model.events import d
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
    receive,
    send,
    spender,
    until,
)

CASES = [
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
