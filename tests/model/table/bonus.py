"""R9: the first-purchase bonus: when it stands, and on whose lot."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, paid, refunded
from tests.model.program import program
from tests.model.table.case import FIRST, LOT1, LOT2, MARCH_LOT, MONTH, NO_SERVICE, Case, Then, late, until

FIRST_MONTH = program(["purchase", "first-purchase"], rule=NO_SERVICE, points={"expiry": MONTH})

FIRST_OF_300 = program(
    ["purchase", "first-purchase"],
    version="2026.2",
    effective_from=d(10, "00:00"),
    rule={"first-purchase": {"points": 300}},
)

R9 = [
    Case(
        "R9",
        "booked_with_the_first_success_never_pending",
        [
            paid("o1", d(1), "100"),
            Then(pending=100, available=0),
            completed("o1", d(5)),
            Then(
                pending=0,
                available=200,
                rules={"purchase": 100, "first-purchase": 100},
                lots={LOT1: {"available": 200}},
            ),
            paid("o2", d(6), "100"),
            completed("o2", d(7)),
            Then(rules={"first-purchase": 100}),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "booked_when_a_line_falls_due",
        [
            paid("o1", d(1), "100"),
            until(d(16, "23:59:59.999999")),
            Then(pending=100, available=0),
            until(d(17, "00:00:00")),
            Then(pending=0, available=200),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "goes_when_there_is_no_successful_order_and_comes_with_the_next",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            refunded("o1", d(6), "100"),
            Then(available=0, debt=0, rules={"first-purchase": 0}),
            paid("o2", d(7), "100"),
            completed("o2", d(8)),
            Then(available=200, lots={("2027-03-07", None): {"available": 200}}),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "stays_where_it_is_while_another_order_stands",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            paid("o2", d(2), "100"),
            completed("o2", d(6)),
            refunded("o1", d(7), "100"),
            # the number last rose from 0 with o1, on whose lot the bonus stays
            Then(available=200, lots={LOT1: {"available": 100}, LOT2: {"available": 100}}),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "a_late_fact_moves_it",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            Then(lots={LOT1: {"available": 200}}),
            late(paid("o2", d(2), "100"), d(6)),
            late(completed("o2", d(4)), d(6, "11:00")),
            # o2 was successful a day before: clawed back from day 1's lot, awarded on day 2's
            Then(available=300, lots={LOT1: {"available": 100}, LOT2: {"available": 200}}),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "of_one_instant_the_order_paid_first",
        [
            paid("o2", d(1), "100"),
            paid("o1", d(2), "100"),
            completed("o1", d(5)),
            completed("o2", d(5)),
            Then(lots={LOT1: {"available": 200}, LOT2: {"available": 100}}),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "an_expired_bonus_is_not_refreshed",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            until(d(33)),
            Then(available=0, expired=200),
            refunded("o1", d(40), "100"),
            Then(debt=0, forgiven=200),  # its 100 and the bonus
            paid("o2", d(41), "100"),
            completed("o2", d(45)),
            # the bonus keeps its lot of day 1, and expires with it; o2's own are on 10 May
            Then(
                available=100,
                lots={MARCH_LOT: {"expired": 300, "forgiven": 200}, ("2026-05-10", None): {"available": 100}},
            ),
        ],
        FIRST_MONTH,
    ),
    Case(
        "R9",
        "a_bonus_still_good_when_it_fell_gets_the_next_order_s_lot",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            refunded("o1", d(32, "23:59:59"), "100"),
            paid("o2", d(41), "100"),
            completed("o2", d(45)),
            Then(available=200, expired=0, lots={("2026-05-10", None): {"available": 200}}),
        ],
        FIRST_MONTH,
    ),
    Case(
        "R9",
        "of_one_paid_time_the_lesser_order_id",
        [
            paid("b", d(1), "100"),
            paid("a", d(1), "100"),
            completed("b", d(5)),
            completed("a", d(5)),
            refunded("b", d(6), "100"),
            Then(rules={"first-purchase": 100}, available=200),
        ],
        FIRST,
    ),
    Case(
        "R9",
        "its_points_are_those_of_the_order_s_version",
        [
            paid("o1", d(9), "100"),
            completed("o1", d(11)),
            Then(rules={"first-purchase": 100}),
            cancelled("o1", d(12)),
            paid("o2", d(13), "100"),
            completed("o2", d(14)),
            Then(rules={"first-purchase": 300}),
        ],
        [FIRST, FIRST_OF_300],
    ),
]

CASES = [*R9]
