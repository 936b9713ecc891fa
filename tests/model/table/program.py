"""E4, E7: until which day points can be spent."""

from __future__ import annotations

from tests.model.events import completed, d, paid, shipped, signed_in
from tests.model.program import program
from tests.model.table.case import MARCH_LOT, SPENDING, SPENDING_MONTH, Case, Then, until


def sign_in_expiry(name: str, at: str, months: int, last_day: str) -> Case:
    expiry = {"kind": "rolling", "months": months, "min_life_days": 0}
    programs = program(["sign-in"], points={"expiry": expiry}, effective_from="2020-01-01T00:00:00+08:00")
    return Case("E4", name, [signed_in(at), Then(lots={(last_day, None): {"available": 5}})], programs)


E4 = [
    sign_in_expiry("to_the_end_of_february", "2026-01-31T10:00:00+08:00", 1, "2026-02-28"),
    sign_in_expiry("of_a_leap_year", "2028-01-31T10:00:00+08:00", 1, "2028-02-29"),
    sign_in_expiry("of_thirty_days", "2026-03-31T10:00:00+08:00", 1, "2026-04-30"),
    sign_in_expiry("a_year_from_29_february", "2028-02-29T10:00:00+08:00", 12, "2029-02-28"),
    sign_in_expiry("across_a_new_year", "2026-12-31T10:00:00+08:00", 2, "2027-02-28"),
]

MIN_LIFE = {"kind": "rolling", "months": 1, "min_life_days": 30}


def fixed(*dates: str, min_life_days: int = 0) -> dict[str, object]:
    return {"kind": "fixed_dates", "dates": list(dates), "min_life_days": min_life_days}


def sign_in_ends(name: str, at: str, last_day: str, expiry: dict[str, object]) -> Case:
    programs = program(["sign-in"], points={"expiry": expiry}, effective_from="2020-01-01T00:00:00+08:00")
    return Case("E7", name, [signed_in(at), Then(lots={(last_day, None): {"available": 5}})], programs)


def order_ends(name: str, at: str, last_day: str, expiry: dict[str, object]) -> Case:
    programs = program(["purchase"], points={"expiry": expiry})
    return Case("E7", name, [paid("o1", at, "100"), Then(lots={(last_day, None): {"pending": 100}})], programs)


HALVES, HALVES_30 = fixed("06-30", "12-31"), fixed("06-30", "12-31", min_life_days=30)

E7 = [
    Case(
        "E7",
        "an_order_s_lot_lives_long_enough_to_be_used",
        [
            # the later of 1 April and 1 March + 15 + 30 days
            paid("o1", d(1), "100"),
            Then(lots={("2026-04-15", None): {"pending": 100}}),
        ],
        program(["purchase"], points={"expiry": MIN_LIFE}),
    ),
    Case(
        "E7",
        "other_awards_follow_the_rule_alone",
        [signed_in(d(1)), Then(lots={MARCH_LOT: {"available": 5}})],
        program(["sign-in"], points={"expiry": MIN_LIFE}),
    ),
    Case(
        "E7",
        "completion_does_not_move_it",
        [paid("o1", d(1), "100"), completed("o1", d(9)), Then(lots={("2027-03-01", None): {"available": 100}})],
        SPENDING,
    ),
    Case(
        "E7",
        "pending_points_do_not_expire",
        [
            # paid on 1 February, good until 1 March; shipped on 16 February, so due when 3 March ends
            paid("o1", "2026-02-01T10:00:00+08:00", "100"),
            shipped("o1", "2026-02-16T10:00:00+08:00"),
            until(d(3, "23:59:59")),
            Then(pending=100, available=0, expired=0, lots={("2026-03-01", None): {"pending": 100}}),
            until(d(4, "00:00")),
            Then(pending=0, available=0, expired=100),  # P6: confirmed too late
        ],
        SPENDING_MONTH,
    ),
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

CASES = [*E4, *E7]
