"""E1, E5, T8: when points expire."""

from __future__ import annotations

from typing import Any

from tests.model.events import completed, d, paid, refunded, shipped
from tests.model.program import Program, program
from tests.model.table.case import HUNDRED, NO_SERVICE, SPENDING_MONTH, Case, Then, entry, late, order, spender, until

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
    ),
]

CASES = [*E1, *E5, *T8]
