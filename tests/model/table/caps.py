"""N3: a cap is a pool that the awards of a day share."""

from __future__ import annotations

from tests.model.events import completed, d, favourite, game, paid, refunded, review, review_removed, tier
from tests.model.program import program
from tests.model.table.case import Case, Then, late

REVIEWS = program(["review"])

CAPPED_ORDERS = program(["purchase"], rule={"purchase": {"cap": {"per": "day", "points": 2000}}})

N3 = [
    Case(
        "N3",
        "a_removed_review_frees_the_cap_for_the_others",
        [
            *[review(f"v{i}", d(1, f"1{i}:00")) for i in range(4)],
            Then(earned=60, rules={"review": 60}),  # min(60, 4 x 20)
            review_removed("v0", d(2)),
            Then(earned=60),  # min(60, 3 x 20): nothing is taken
            review_removed("v1", d(2)),
            Then(earned=40, lots={("2027-03-01", None): {"available": 40}}),  # 2 x 20, of the day's lot
        ],
        REVIEWS,
    ),
    Case(
        "N3",
        "a_cap_is_a_day_s",
        [
            *[review(f"v{i}", d(1, f"1{i}:00")) for i in range(4)],
            review("v9", d(2)),
            Then(earned=80),  # 60 + 20
        ],
        REVIEWS,
    ),
    Case(
        "N3",
        "where_another_version_begins_during_a_day_each_has_its_cap",
        [
            *[
                review(f"v{i}", d(5, f"1{i}:00")) for i in range(4)
            ],  # two before noon: 40; two after it: min(30, 2 x 20)
            Then(earned=70, lots={("2027-03-05", None): {"available": 40}, ("2028-03-05", None): {"available": 30}}),
            review_removed("v3", d(6)),
            Then(earned=60, lots={("2027-03-05", None): {"available": 40}, ("2028-03-05", None): {"available": 20}}),
        ],
        [
            REVIEWS,
            program(
                ["review"],
                rule={"review": {"cap": {"per": "day", "points": 30}}},
                points={"expiry": {"kind": "rolling", "months": 24}},
                version="2026.2",
                effective_from=d(5, "12:00"),
            ),
        ],
    ),
    Case(
        "N3",
        "favourites",
        [*[favourite(f"f{i}", d(1, f"1{i}:00")) for i in range(6)], Then(earned=10)],  # min(10, 6 x 2)
        program(["favourite"]),
    ),
    Case(
        "N3",
        "games_by_unit",
        [
            game("g1", d(1, "10:00"), 15),
            Then(earned=15),
            game("g2", d(1, "11:00"), 10),
            Then(earned=20),  # min(20, 15 + 10): the second books 5
            game("g3", d(2, "11:00"), 7),
            Then(earned=27),
        ],
        program(["game"]),
    ),
    Case(
        "N3",
        "orders_of_a_day_share_a_pool",
        [
            paid("o1", d(1, "10:00"), "900"),
            paid("o2", d(1, "11:00"), "900"),
            Then(pending=2000, available=0),  # min(2000, 1800 + 1800); confirmed min(2000, 0)
            completed("o1", d(3)),
            Then(pending=200, available=1800),  # confirmed min(2000, 1800)
            completed("o2", d(4)),
            Then(pending=0, available=2000),  # confirmed min(2000, 3600)
            refunded("o1", d(5), "900"),
            Then(available=1800, debt=0),  # min(2000, 1800): the refund takes 200 of its 1,800
            refunded("o2", d(6), "800"),
            Then(available=100),  # 100 x 1
        ],
        CAPPED_ORDERS,
    ),
    Case(
        "N3",
        "a_true_up_fills_the_pool_no_further",
        [
            paid("o1", d(1), "900"),
            Then(pending=1800),
            late(tier([(d(0), "supreme")], version=1), d(2)),
            Then(pending=2000, rules={"purchase": 1800, "tier-true-up": 200}),  # min(2000, 900 x 2 x 1.5)
        ],
        CAPPED_ORDERS,
        "received",
    ),
]

CASES = [*N3]
