"""T1, T2, T3, T9: tiers in business time, and what the ledger makes of them."""

from __future__ import annotations

from tests.model.events import completed, d, paid, refunded, tier
from tests.model.program import program
from tests.model.table.case import PURCHASE, SPENDING, SPENDING_MONTH, Case, Then, late, reached, spender, until

SENIOR = tier([(d(5), "senior")], version=2, growth="600.00", orders=1)

T1 = [
    Case(
        "T1",
        "the_crossing_order_earns_at_the_tier_before",
        [
            paid("o1", d(1), "600"),
            completed("o1", d(5)),
            Then(tiers=[reached(d(5), "senior")]),
            paid("o2", d(6), "300"),
            Then(pending=495),  # 300 x 1.5 x 1.1
            completed("o2", d(8)),
            Then(earned=900 + 495, tiers=[reached(d(5), "senior"), reached(d(8), "supreme")]),
        ],
        PURCHASE,
    ),
    Case(
        "T1",
        "a_tier_that_arrives_late_is_made_up_for",
        [
            paid("o1", d(1), "600"),
            completed("o1", d(5)),
            paid("o2", d(6), "300"),
            completed("o2", d(8)),
            Then(earned=1350, rules={"purchase": 1350}),  # 900 + 450
            late(SENIOR, d(9)),
            # 495 - 450, on o2's lot
            Then(
                earned=1395,
                rules={"purchase": 1350, "tier-true-up": 45},
                lots={("2027-03-06", None): {"available": 495}},
            ),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "T1",
        "a_pending_order_is_trued_up_in_pending",
        [
            paid("o2", d(6), "300"),
            late(SENIOR, d(7)),
            Then(pending=495, available=0, rules={"tier-true-up": 45}),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "T1",
        "a_negative_true_up_is_a_clawback",
        [
            late(SENIOR, d(5)),
            paid("o2", d(6), "300"),
            completed("o2", d(8)),
            Then(available=495),
            tier([(d(7), "senior")], version=3, at=d(9)),
            Then(available=450, rules={"purchase": 495, "tier-true-up": -45}),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "T1",
        "strictly_before_the_paid_time",
        [
            late(SENIOR, d(5)),
            paid("o1", d(5), "200"),  # at the very instant
            paid("o2", d(5, "10:00:00.000001"), "200"),
            Then(orders={"o1": {"earned_pending": 300}, "o2": {"earned_pending": 330}}),
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "T1",
        "an_older_history_is_dropped",
        [
            late(tier([(d(2), "vip")], version=5), d(5)),
            late(tier([(d(2), "senior")], version=4), d(5, "11:00")),
            paid("o1", d(6), "200"),
            Then(pending=360, tiers=[reached(d(2), "vip")]),  # 200 x 1.5 x 1.2
        ],
        PURCHASE,
        "received",
    ),
    Case(
        "T1",
        "entries_of_one_instant_are_summed_over_all_orders",
        [
            paid("o1", d(1), "700"),
            completed("o1", d(5)),
            Then(tiers=[reached(d(5), "vip")]),
            paid("o2", d(2), "100"),
            late(refunded("o1", d(5), "400"), d(6)),
            late(completed("o2", d(5)), d(6, "11:00")),
            # at that instant 700 - 400 + 100 = 400, never 700
            Then(tiers=[reached(d(5), "senior")]),
        ],
        PURCHASE,
    ),
]

T2 = [
    Case(
        "T2",
        f"half_open_at_{growth}",
        [paid("o1", d(1), growth), completed("o1", d(5)), Then(tiers=[reached(d(5), name)])],
        PURCHASE,
    )
    for growth, name in {
        "398.99": "regular",
        "399": "senior",
        "687.99": "senior",
        "688": "vip",
        "887.99": "vip",
        "888": "supreme",
    }.items()
]

THREE_ORDERS = program(
    ["purchase"],
    tiers={
        "ladder": [
            {"tier": "regular", "when": {"orders": 1}},
            {"tier": "senior", "when": {"any": [{"growth": "399"}, {"orders": 3}]}},
            {"tier": "vip", "when": {"all": [{"growth": "688"}, {"orders": 4}]}},
        ]
    },
)

T2 += [
    Case(
        "T2",
        "the_third_successful_order_whatever_was_spent",
        [
            *[paid(f"o{i}", d(i), "1") for i in (1, 2, 3)],
            *[completed(f"o{i}", d(4 + i)) for i in (1, 2)],
            Then(tiers=[reached(d(5), "regular")]),
            completed("o3", d(7)),
            Then(tiers=[reached(d(5), "regular"), reached(d(7), "senior")]),
            paid("o4", d(8), "800"),
            completed("o4", d(9)),
            Then(tiers=[reached(d(5), "regular"), reached(d(7), "senior"), reached(d(9), "vip")]),
        ],
        THREE_ORDERS,
    ),
]

T3 = [
    Case(
        "T3",
        "spending_and_expiring_lower_no_tier",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            spender("s1", d(6), 1000),
            until(d(60)),
            Then(available=0, expired=800, tiers=[reached(d(5), "supreme")]),
        ],
        SPENDING_MONTH,
    ),
]

HALF_BEFORE = {"none": "0.5", "regular": "1", "senior": "1.1", "vip": "1.2", "supreme": "1.5"}

T9 = [
    Case(
        "T9",
        "before_the_first_tier_the_multiplier_is_that_of_none",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(2)),
            Then(earned=50),
            paid("o2", d(3), "100"),
            Then(pending=100),  # regular since day 2
        ],
        program(["purchase"], rule={"purchase": {"tier_multiplier": HALF_BEFORE}}),
    ),
    Case(
        "T9",
        "the_history_does_not_depend_on_arrival",
        [
            late(completed("o2", d(8)), d(9, "10:00")),
            late(paid("o2", d(6), "300"), d(9, "10:01")),
            Then(tiers=[reached(d(8), "regular")], earned=450),
            late(completed("o1", d(5)), d(9, "10:02")),
            late(paid("o1", d(1), "600"), d(9, "10:03")),
            Then(tiers=[reached(d(5), "senior"), reached(d(8), "supreme")], earned=900 + 495),
        ],
        SPENDING,
    ),
]

CASES = [*T1, *T2, *T3, *T9]
