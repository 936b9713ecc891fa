"""N6: a campaign's budget is a pool, and says when it is spent."""

from __future__ import annotations

from tests.model.events import d, paid, refunded
from tests.model.table.case import Case, Then, late
from tests.model.table.multipliers import SENIOR, campaign, stacking

BUDGET = stacking("multiply", campaign("2", budget=150))

N6 = [
    Case(
        "N6",
        "what_it_gives_ends_when_it_is_spent",
        [
            paid("o1", d(2), "100"),
            Then(pending=200, rules={"purchase": 100, "member-day": 100}),
            paid("o2", d(3), "100"),
            Then(pending=350, rules={"purchase": 200, "member-day": 150}),
            paid("o3", d(4), "100"),
            Then(pending=450, rules={"purchase": 300, "member-day": 150}),
        ],
        BUDGET,
    ),
    Case(
        "N6",
        "a_refund_frees_it",
        [
            paid("o1", d(2), "100"),
            paid("o2", d(3), "100"),
            refunded("o1", d(4), "80"),
            # 20 for the goods left and 20 by the campaign; of its 150 the other order has its 100
            Then(pending=120 + 120, rules={"purchase": 120, "member-day": 120}),
        ],
        BUDGET,
    ),
    Case(
        "N6",
        "whatever_came_first_it_gives_no_more",
        [
            paid("o2", d(3), "100"),
            late(paid("o1", d(2), "100"), d(4)),
            Then(pending=350, rules={"purchase": 200, "member-day": 150}),
        ],
        BUDGET,
    ),
    Case(
        "N6",
        "after_tier_and_the_rest",
        [SENIOR, paid("o1", d(2), "100.50"), Then(pending=221, rules={"purchase": 110, "member-day": 111})],
        BUDGET,
        "received",
    ),
]

BY_PAID_TIME = Case(
    "N6",
    "it_goes_by_paid_time_whatever_came_first",
    [
        paid("o2", d(3), "100"),
        late(paid("o1", d(2), "100"), d(4)),
        Then(
            lots={("2027-03-02", None): {"pending": 200}, ("2027-03-03", None): {"pending": 150}},
            rules={"member-day": 150},
        ),
    ],
    BUDGET,
)
"""Of the model alone: over all members nobody knows that order, so the ledger goes by who asks first."""

CASES = [*N6]
