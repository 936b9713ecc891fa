"""R9: what a member has who was referred, and who referred."""

from __future__ import annotations

from tests.model.commands import Referred
from tests.model.days import instant
from tests.model.events import completed, d, paid, profile, refunded, registered
from tests.model.program import program
from tests.model.table.case import Case, Then, until

REFERRAL = program(["purchase"], more=[{"rule": "referral", "on": "referral", "referrer": 100, "referred": 50}])

R9 = [
    Case(
        "R9",
        "who_was_referred_has_points_while_a_first_order_stands",
        [
            registered(d(1), referred_by="m2"),
            paid("o1", d(2), "100"),
            Then(available=0, pending=100),
            completed("o1", d(3)),
            Then(available=150, rules={"referral": 50}),
            refunded("o1", d(4), "100"),
            Then(available=0, rules={"referral": 0}),
        ],
        REFERRAL,
    ),
    Case(
        "R9",
        "nobody_refers_oneself",
        [registered(d(1), referred_by="m1"), paid("o1", d(2), "100"), completed("o1", d(3)), Then(available=100)],
        REFERRAL,
    ),
    Case(
        "R9",
        "and_whoever_names_oneself_has_named_nobody",
        [
            registered(d(1), referred_by="m1"),
            profile(d(2), referred_by="m2"),
            paid("o1", d(3), "100"),
            completed("o1", d(4)),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "R9",
        "who_referred_has_points_while_it_stands_there",
        [
            Referred(instant(d(5)), "m3", instant(d(4))),
            Referred(instant(d(6)), "m3", instant(d(4))),
            Referred(instant(d(6)), "m4", instant(d(5))),
            Then(available=200, lots={("2027-03-04", None): {"available": 100}}),
            Referred(instant(d(8)), "m3", None),
            until(d(9)),
            Then(available=100, lots={("2027-03-05", None): {"available": 100}}),
        ],
        REFERRAL,
    ),
]

CASES = [*R9]
