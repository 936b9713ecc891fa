"""E3: sliding expiry: activity keeps all open points."""

from __future__ import annotations

from tests.model.events import completed, d, paid, refunded, shipped, signed_in
from tests.model.program import program
from tests.model.table.case import NO_SERVICE, Case, Then, capture, hold, late, redeem, spender, until

SLIDING_MONTH = {"kind": "sliding", "months": 1, "min_life_days": 0}

SIGNING_IN = program(["sign-in"], points={"expiry": SLIDING_MONTH})

BUYING = program(["purchase"], points={"expiry": SLIDING_MONTH}, rule=NO_SERVICE)

SLOWLY = program(
    ["purchase"],
    points={"expiry": SLIDING_MONTH, "pending": {"until": "order_completed", "auto_after_days": 30}},
)

E3 = [
    Case(
        "E3",
        "activity_moves_the_day_of_all_open_points",
        [
            signed_in(d(1)),
            Then(lots={("2026-04-01", None): {"available": 5}}),
            signed_in(d(20)),  # 20 March and a month
            Then(lots={("2026-04-20", None): {"available": 10}}),
            until(d(51, "23:59:59")),
            Then(available=10, expired=0),
            until(d(52, "00:00")),
            Then(available=0, expired=10),
        ],
        SIGNING_IN,
    ),
    Case(
        "E3",
        "what_expired_stays_so",
        [
            signed_in(d(1)),
            signed_in(d(33, "00:00")),  # 2 April: that of 1 March was good until the 1st
            Then(
                available=5,
                expired=5,
                lots={("2026-04-01", None): {"expired": 5}, ("2026-05-02", None): {"available": 5}},
            ),
        ],
        SIGNING_IN,
    ),
    Case(
        "E3",
        "late_activity_moves_it_while_it_lives",
        [signed_in(d(1)), late(signed_in(d(20)), d(25)), Then(lots={("2026-04-20", None): {"available": 10}})],
        SIGNING_IN,
    ),
    Case(
        "E3",
        "late_activity_revives_nothing",
        [
            signed_in(d(1)),
            late(signed_in(d(30)), d(33)),  # it would have kept them, had it come in time
            Then(available=5, expired=5, lots={("2026-04-30", None): {"available": 5}}),
        ],
        SIGNING_IN,
    ),
    Case(
        "E3",
        "activity_before_the_last_moves_nothing",
        [
            signed_in(d(20)),
            late(signed_in(d(1)), d(25)),
            Then(available=10, lots={("2026-04-20", None): {"available": 10}}),
        ],
        SIGNING_IN,
    ),
    Case(
        "E3",
        "activity_so_late_that_its_day_is_over_expires",
        [
            signed_in(d(10)),
            late(signed_in(d(1)), d(45)),
            Then(available=0, expired=10, lots={("2026-04-10", None): {"expired": 10}}),
        ],
        program(["sign-in"], points={"expiry": SLIDING_MONTH, "max_lateness_days": "none"}),
    ),
    Case(
        "E3",
        "a_refund_is_no_activity_and_neither_is_what_the_shop_does",
        [
            paid("o1", d(1), "100"),
            shipped("o1", d(3)),
            completed("o1", d(10)),
            refunded("o1", d(20), "10"),
            until(d(32, "23:59:59")),
            Then(available=90),
            until(d(33, "00:00")),
            Then(available=0, expired=90),
        ],
        BUYING,
    ),
    Case(
        "E3",
        "spending_is",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(2)),
            redeem(d(10), 30),
            until(d(33)),
            Then(available=70, lots={("2026-04-10", None): {"available": 70}}),
            hold(d(35), 20),
            capture(d(35, "10:05")),
            until(d(42)),
            Then(available=50, lots={("2026-05-04", None): {"available": 50}}),  # 4 April and a month
            spender("s1", d(60), 10),
            Then(available=40, lots={("2026-05-29", None): {"available": 40}}),
        ],
        BUYING,
    ),
    Case(
        "E3",
        "after_an_expiry_points_are_in_another_lot",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(2)),
            paid("o2", d(40), "100"),
            completed("o2", d(41)),
            Then(available=100, expired=100),
            refunded("o2", d(42), "40"),  # nothing of it has expired, so nothing is forgiven
            Then(available=60, forgiven=0),
            refunded("o1", d(43), "30"),  # of this all has (R7)
            Then(available=60, forgiven=30, debt=0),
        ],
        BUYING,
    ),
    Case(
        "E3",
        "what_is_pending_waits_for_the_next_lot",
        [
            paid("o1", d(1), "100"),
            shipped("o1", d(25)),
            until(d(33)),
            Then(pending=100, lots={("2026-04-01", None): {"pending": 100}}),
            paid("o2", d(34), "100"),
            Then(pending=200, lots={("2026-05-03", None): {"pending": 200}}),
            completed("o1", d(35)),
            Then(pending=100, available=100, expired=0),
        ],
        SLOWLY,
    ),
    Case(
        "E3",
        "without_it_what_confirms_expires",
        [
            paid("o1", d(1), "100"),
            shipped("o1", d(25)),
            until(d(56, "00:00")),  # 25 March and 30 days: 24 April, day 55, is over
            Then(pending=0, available=0, expired=100),
        ],
        SLOWLY,
    ),
]

CASES = [*E3]
