"""R6, R2: what a clawback does not find is written off or waits for a decision."""

from __future__ import annotations

from tests.model.events import completed, d, paid, refunded
from tests.model.program import program
from tests.model.table.case import HUNDRED, NO_SERVICE, Case, HistoryStep, Then, decide, late, spender

CLAMP = program(["purchase"], rule=NO_SERVICE, points={"negative": "clamp"})

REVIEW = program(["purchase"], rule=NO_SERVICE, points={"negative": "review"})

SPENT: list[HistoryStep] = [*HUNDRED, spender("s1", d(6), 80)]
"""20 left of 100."""

CLAMPED = [
    Case(
        "R6",
        "clamp_writes_off_what_is_not_there",
        [
            *SPENT,
            refunded("o1", d(7), "50"),  # 20 are there, 30 are not
            Then(available=0, debt=0, written_off=30, earned=50, net=0),
            paid("o2", d(8), "100"),
            completed("o2", d(8, "11:00")),
            Then(available=100, written_off=30),
        ],
        CLAMP,
    ),
    Case(
        "R6",
        "what_moves_to_another_version_is_claimed_as_the_one_it_was_granted_under_says",
        [
            paid("o1", d(12), "100"),
            completed("o1", d(13)),
            spender("s1", d(14), 80),
            # It was paid on the 8th already, under the version that owes: 20 of 100 are there to be clawed back, 80 are
            # written off, and 100 are awarded anew.
            late(paid("o1", d(8), "100", id="earlier"), d(15)),
            Then(available=100, debt=0, written_off=80, net=100),
        ],
        [program(["purchase"], rule=NO_SERVICE), CLAMP | {"version": "2026.2", "effective_from": d(10, "00:00")}],
    ),
    Case(
        "R2",
        "under_clamp_net_less_what_was_written_off_is_the_same_however_split",
        [
            *SPENT,
            refunded("o1", d(7), "10"),
            Then(available=10, written_off=0),
            refunded("o1", d(8), "40", refund="r2"),
            Then(available=0, written_off=30, net=0),  # 0 - 30, as above
        ],
        CLAMP,
    ),
    Case(
        "R6",
        "clamp_does_not_excuse_points_used",
        [*HUNDRED, spender("s1", d(6), 150), Then(available=0, debt=50, written_off=0)],
        CLAMP,
    ),
]

REVIEWED = [
    Case(
        "R6",
        "under_review_only_the_shortfall_waits",
        [
            *SPENT,
            refunded("o1", d(7), "50"),
            Then(available=0, debt=0, written_off=0, under_review={"o1": 30}),
            paid("o2", d(8), "100"),
            completed("o2", d(8, "11:00")),
            Then(available=100, under_review={"o1": 30}),
            decide(d(9), "take"),
            Then(available=70, debt=0, written_off=0, under_review={"o1": 0}),
        ],
        REVIEW,
    ),
    Case(
        "R6",
        "taken_when_nothing_is_there_it_is_owed",
        [*SPENT, refunded("o1", d(7), "50"), decide(d(9), "take"), Then(available=0, debt=30, under_review={"o1": 0})],
        REVIEW,
    ),
    Case(
        "R6",
        "let_go_it_is_written_off",
        [
            *SPENT,
            refunded("o1", d(7), "50"),
            decide(d(9), "write_off"),
            Then(available=0, debt=0, written_off=30, under_review={"o1": 0}),
        ],
        REVIEW,
    ),
    Case(
        "R6",
        "what_is_not_there_of_one_order_is_decided_at_once",
        [
            *SPENT,
            refunded("o1", d(7), "30"),
            refunded("o1", d(8), "5", refund="r2"),
            Then(under_review={"o1": 15}),  # 10 of the first, all 5 of the second
            decide(d(9), "take", about="o2"),
            decide(d(9), "write_off"),
            decide(d(9), "take"),
            Then(
                under_review={"o1": 0},
                written_off=15,
                debt=0,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("s1:paid:0", "booked"),
                    ("o1:refunded:r1", "booked"),
                    ("o1:refunded:r2", "booked"),
                    ("Decide o2", "shortfall_unknown"),
                    ("Decide o1", "booked"),
                    ("Decide o1", "shortfall_unknown"),
                ],
            ),
        ],
        REVIEW,
    ),
]

CASES = [*CLAMPED, *REVIEWED]
