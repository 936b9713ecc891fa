"""T10: who joins is enrolled and gets the joining gift."""

from __future__ import annotations

from tests.model.events import completed, d, paid, registered, signed_in, tier
from tests.model.table.case import Case, Then, late

T10 = [
    Case(
        "T10",
        "registered_enrols_with_a_joining_gift",
        [
            registered(d(1)),
            Then(earned=20, lots={("2027-03-01", None): {"available": 20}}, rules={"joining-gift": 20}),
            late(registered(d(2), id="again"), d(2)),
            Then(earned=20),
        ],
    ),
    Case(
        "T10",
        "the_enrolment_that_tiering_tells_is_the_same",
        [
            tier([], version=1, at=d(1), kind="enrolled"),
            Then(earned=20),
            late(registered(d(1)), d(2)),
            Then(earned=20),
        ],
        tiers="received",
    ),
    Case(
        "T10",
        "who_only_orders_is_a_member_without_a_gift",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(5)),
            signed_in(d(6)),
            Then(earned=205, rules={"purchase": 100, "first-purchase": 100, "sign-in": 5, "joining-gift": 0}),
        ],
    ),
]

CASES = [*T10]
