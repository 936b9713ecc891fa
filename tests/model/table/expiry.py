"""E: until when points can be spent, and in which order."""

from __future__ import annotations

from typing import Any

from tests.model.events import completed, d, paid, refunded, review, shipped, signed_in
from tests.model.program import Program, program
from tests.model.table.case import (
    MONTH,
    NO_SERVICE,
    SPENDING,
    SPENDING_MONTH,
    Case,
    Then,
    entry,
    late,
    order,
    spender,
    until,
)

MARCH_LOT = ("2026-04-01", None)
HUNDRED = [paid("o1", d(1), "100"), completed("o1", d(5))]

E1 = [
    Case(
        "E1",
        "the_last_moment_of_the_day_spends_it",
        [*HUNDRED, spender("s1", d(32, "23:59:59.999"), 100), Then(available=0, debt=0, expired=0)],
        SPENDING_MONTH,
    ),
    Case(
        "E1",
        "midnight_does_not",
        [*HUNDRED, spender("s1", d(33, "00:00"), 100), Then(available=0, debt=100, expired=100)],
        SPENDING_MONTH,
    ),
    Case(
        "E1",
        "reads_agree_with_spends",
        [
            *HUNDRED,
            until(d(32, "23:59:59.999999")),
            Then(available=100),
            until(d(33, "00:00")),
            Then(available=0, expired=100),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "E1",
        "it_makes_no_difference_when_somebody_looks",
        [
            spender("s1", d(1), 30),
            paid("o1", d(1, "11:00"), "100"),
            # due on day 17 it paid the debt, and the rest expired on day 32, though nothing ran until day 60
            until(d(60)),
            Then(debt=0, available=0, expired=70),
        ],
        SPENDING_MONTH,
    ),
]


def sign_in_expiry(name: str, at: str, months: int, last_day: str) -> Case:
    expiry = {"kind": "rolling", "months": months, "min_life_days": 0}
    given = program(["sign-in"], points={"expiry": expiry}, effective_from="2020-01-01T00:00:00+08:00")
    return Case("E4", name, [signed_in(at), Then(lots={(last_day, None): {"available": 5}})], given)


E4 = [
    sign_in_expiry("to_the_end_of_february", "2026-01-31T10:00:00+08:00", 1, "2026-02-28"),
    sign_in_expiry("of_a_leap_year", "2028-01-31T10:00:00+08:00", 1, "2028-02-29"),
    sign_in_expiry("of_thirty_days", "2026-03-31T10:00:00+08:00", 1, "2026-04-30"),
    sign_in_expiry("a_year_from_29_february", "2028-02-29T10:00:00+08:00", 12, "2029-02-28"),
    sign_in_expiry("across_a_new_year", "2026-12-31T10:00:00+08:00", 2, "2027-02-28"),
]


def version(name: str, effective_from: str, expiry: dict[str, Any]) -> Program:
    return program(
        ["purchase"],
        version=name,
        effective_from=effective_from,
        points={"expiry": expiry},
        rule=NO_SERVICE,
    )


LONGER = [
    version("2026.1", "2026-01-01T00:00:00+08:00", {"kind": "rolling", "months": 12, "min_life_days": 30}),
    version("2026.2", d(10, "00:00"), {"kind": "rolling", "months": 24, "min_life_days": 30}),
]
FROM_NEVER = [
    version("2026.1", "2026-01-01T00:00:00+08:00", {"kind": "none"}),
    version("2026.2", d(10, "00:00"), {"kind": "rolling", "months": 12, "min_life_days": 30}),
]

E5 = [
    Case(
        "E5",
        "a_new_version_leaves_granted_lots_alone",
        [
            *HUNDRED,
            paid("o2", d(10), "100"),
            completed("o2", d(11)),
            Then(lots={("2027-03-01", None): {"available": 100}, ("2028-03-10", None): {"available": 100}}),
            # what changes of the older order later is still of its version
            refunded("o1", d(12), "40"),
            Then(lots={("2027-03-01", None): {"available": 60}}),
        ],
        LONGER,
    ),
    Case(
        "E5",
        "the_business_time_chooses_the_version",
        [
            paid("o2", d(10), "100"),
            late(paid("o1", d(9, "23:59:59")), d(11)),
            Then(lots={("2028-03-10", None): {"pending": 100}, ("2027-03-09", None): {"pending": 1800}}),
        ],
        LONGER,
    ),
]

E6 = [
    Case(
        "E6",
        "earliest_expiry_first",
        [
            paid("o2", d(3), "100"),
            completed("o2", d(4)),
            late(paid("o1", d(1), "100"), d(5)),
            late(completed("o1", d(2)), d(6)),
            spender("s1", d(7), 130),
            Then(available=70, lots={("2027-03-03", None): {"available": 70}}),
        ],
        SPENDING,
    ),
    Case(
        "E6",
        "of_one_day_plain_before_grace",
        [
            *HUNDRED,
            spender("s1", d(10), 100),
            refunded("s1", d(40), "200"),  # grace until 9 May
            review("v1", d(40, "11:00")),  # 20 until 9 May
            spender("s2", d(41), 30),
            Then(lots={("2026-05-09", "2026-04-01"): {"available": 90}}, available=90),
        ],
        program(["purchase", "review"], rule=NO_SERVICE, points={"expiry": MONTH}),
    ),
    Case(
        "E6",
        "never_expiring_last",
        [
            *HUNDRED,
            paid("o2", d(10), "100"),
            completed("o2", d(11)),
            spender("s1", d(12), 130),
            Then(available=70, lots={("never", None): {"available": 70}}),
        ],
        FROM_NEVER,
    ),
    Case(
        "E6",
        "a_late_event_reorders_nothing",
        [
            paid("o2", d(3), "100"),
            completed("o2", d(4)),
            spender("s1", d(5), 60),
            late(paid("o1", d(1), "100"), d(6)),
            late(completed("o1", d(2)), d(6, "11:00")),
            # day 1's lot would have gone first
            Then(lots={("2027-03-01", None): {"available": 100}, ("2027-03-03", None): {"available": 40}}),
        ],
        SPENDING,
    ),
]

MIN_LIFE = {"kind": "rolling", "months": 1, "min_life_days": 30}

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
    Case(
        "E7",
        "an_earlier_telling_of_paid_moves_the_lot",
        [
            paid("o1", d(10), "100"),
            completed("o1", d(11)),
            Then(lots={("2027-03-10", None): {"available": 100}}),
            late(paid("o1", d(5), "100"), d(12)),
            Then(available=100, debt=0, lots={("2027-03-05", None): {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "E7",
        "moved_points_that_were_spent_are_claimed_and_awarded",
        [
            paid("o1", d(10), "100"),
            completed("o1", d(11)),
            spender("s1", d(12), 70),
            late(paid("o1", d(5), "100"), d(13)),
            # 100 claimed: 30 taken, 70 owed; 100 awarded: 70 pay the debt
            Then(available=30, debt=0, lots={("2027-03-05", None): {"available": 30}}),
        ],
        SPENDING,
    ),
]

T8 = [
    Case(
        "T8",
        "at_midnight_lines_confirm_then_lots_expire",
        [
            # good until 1 March; shipped on 14 February, so due when 1 March ends
            paid("o1", "2026-02-01T10:00:00+08:00", "100"),
            shipped("o1", "2026-02-14T10:00:00+08:00"),
            until(d(1, "23:59:59.999999")),
            Then(pending=100),
            until(d(2, "00:00")),
            Then(
                pending=0,
                available=0,
                expired=100,
                orders=order(timeline=[entry(d(2, "00:00"), "100", 1)]),
            ),
        ],
        SPENDING_MONTH,
    )
]

CASES = [*E1, *E4, *E5, *E6, *E7, *T8]
