"""D6: points for a complete profile."""

from __future__ import annotations

from tests.model.events import d, profile, registered
from tests.model.program import program
from tests.model.table.case import Case, Then, late

D6 = [
    Case(
        "D6",
        "due_when_all_fields_are_filled_together",
        [
            registered(d(1), name="Lin", phone="+8613800000000"),
            profile(d(2), email="lin@shop.example"),
            profile(d(3), phone=None),
            profile(d(4), birthday="1990-05-01"),
            Then(earned=0),  # never all four at once
            profile(d(5), phone="+8613800000001"),
            Then(earned=50, lots={("2027-03-05", None): {"available": 50}}),
            profile(d(6), email=None),
            Then(earned=50),  # a later deletion takes nothing
            profile(d(7), email="lin@shop.example"),
            Then(earned=50),  # once a member
        ],
        program(["profile"]),
    ),
    Case(
        "D6",
        "in_order_of_business_times",
        [
            registered(d(1), name="Lin", phone="+8613800000000", email="lin@shop.example"),
            profile(d(5), birthday="1990-05-01"),
            Then(earned=50),
            late(profile(d(3), phone=None), d(6)),
            Then(earned=0, available=0),  # on day 5 the phone was gone
            late(profile(d(4), phone="+8613800000001"), d(6, "11:00")),
            Then(earned=50, lots={("2027-03-05", None): {"available": 50}}),
        ],
        program(["profile"]),
    ),
]

CASES = [*D6]
