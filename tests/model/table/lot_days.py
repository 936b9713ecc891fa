"""E3, E7: fixed dates and sliding expiry."""

from __future__ import annotations

from tests.model.events import completed, d, paid, refunded, shipped, signed_in
from tests.model.program import program
from tests.model.table.case import NO_SERVICE, Case, Then, capture, hold, late, redeem, spender, until


def fixed(*dates: str, min_life_days: int = 0) -> dict[str, object]:
    return {"kind": "fixed_dates", "dates": list(dates), "min_life_days": min_life_days}


def sign_in_ends(name: str, at: str, last_day: str, expiry: dict[str, object]) -> Case:
    given = program(["sign-in"], points={"expiry": expiry}, effective_from="2020-01-01T00:00:00+08:00")
    return Case("E7", name, [signed_in(at), Then(lots={(last_day, None): {"available": 5}})], given)


def order_ends(name: str, at: str, last_day: str, expiry: dict[str, object]) -> Case:
    given = program(["purchase"], points={"expiry": expiry})
    return Case("E7", name, [paid("o1", at, "100"), Then(lots={(last_day, None): {"pending": 100}})], given)


HALVES, HALVES_30 = fixed("06-30", "12-31"), fixed("06-30", "12-31", min_life_days=30)

E7 = [
    sign_in_ends("the_next_fixed_date", "2026-03-01T10:00:00+08:00", "2026-06-30", HALVES),
    sign_in_ends("a_fixed_date_is_its_own_next", "2026-06-30T23:59:59+08:00", "2026-06-30", HALVES),
    sign_in_ends("from_midnight_the_one_after", "2026-07-01T00:00:00+08:00", "2026-12-31", HALVES),
    sign_in_ends("across_the_year", "2026-07-01T00:00:00+08:00", "2027-06-30", fixed("06-30")),
    sign_in_ends("in_any_order_written", "2026-07-01T00:00:00+08:00", "2026-12-31", fixed("12-31", "06-30")),
    sign_in_ends("the_end_of_february", "2026-02-10T10:00:00+08:00", "2026-02-28", fixed("02-29")),
    sign_in_ends("the_end_of_february_in_a_leap_year", "2028-02-10T10:00:00+08:00", "2028-02-29", fixed("02-29")),
    sign_in_ends("only_orders_have_a_least_life", "2026-06-29T10:00:00+08:00", "2026-06-30", HALVES_30),
    # 15 days until it counts as completed and 30 to live: 16 May + 45 is 30 June
    order_ends("an_orders_least_life_fits", "2026-05-16T10:00:00+08:00", "2026-06-30", HALVES_30),
    order_ends("or_the_order_has_its_least_life", "2026-05-20T10:00:00+08:00", "2026-07-04", HALVES_30),
    order_ends("and_the_rules_day_if_that_is_later", "2026-07-01T10:00:00+08:00", "2026-12-31", HALVES_30),
]

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

CASES = [*E7, *E3]
