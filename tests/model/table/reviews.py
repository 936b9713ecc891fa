"""N3, N8, O2: a review earns once, while it stands; if it has to be verified, while the goods are kept."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, line, paid, part, refunded, review, review_removed
from tests.model.program import program
from tests.model.table.case import Case, Then, late, until

REVIEWS = program(["review"])

N3 = [
    Case(
        "N3",
        "removed_is_final_also_before_published",
        [
            review_removed("v1", d(2)),
            late(review("v1", d(1)), d(3)),
            Then(earned=0),
            review("v1", d(4), id="again"),
            Then(earned=0),
        ],
        REVIEWS,
    ),
]

O2 = [
    Case(
        "O2",
        "a_review_published_twice",
        [
            review("v1", d(5)),
            late(review("v1", d(4), id="again"), d(6)),
            Then(earned=20, lots={("2027-03-04", None): {"available": 20}}),
        ],
        program(["review"]),
    ),
]

VERIFIED = program(["review", "purchase"], rule={"review": {"verified": True}})
LOT5 = ("2027-03-05", None)
TEA = line("l1", "100", sku="tea")

N8 = [
    Case(
        "N8",
        "earned_once_the_goods_are_received_in_the_lot_of_the_review",
        [
            paid("o1", d(2), [TEA]),
            review("v1", d(5), sku="tea"),
            Then(earned=0, pending=100),
            completed("o1", d(6)),
            Then(earned=120, lots={LOT5: {"available": 20}}),  # 100 x 1, and 20 for the review
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "and_gone_when_they_are_sent_back_in_full",
        [
            paid("o1", d(2), [TEA]),
            completed("o1", d(3)),
            review("v1", d(5), sku="tea"),
            Then(earned=120),
            refunded("o1", d(6), "99.99", refund="r1"),
            Then(earned=20),  # 0.01 is left: floor(0.01) + 20
            refunded("o1", d(7), "0.01", refund="r2"),
            Then(earned=0),
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "or_the_order_is_cancelled",
        [
            paid("o1", d(2), [TEA]),
            completed("o1", d(3)),
            review("v1", d(5), sku="tea"),
            cancelled("o1", d(6)),
            Then(earned=0),
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "another_order_of_the_goods_keeps_it",
        [
            paid("o1", d(2), [TEA]),
            completed("o1", d(3)),
            review("v1", d(5), sku="tea"),
            paid("o2", d(6), [line("l1", "50"), line("l2", "50", sku="tea")]),
            completed("o2", d(7)),
            Then(earned=220),
            refunded("o1", d(8), "100"),
            Then(earned=120),  # of o2 100, and 20
            refunded("o2", d(9), [part("l2", "50")]),
            Then(earned=50),
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "by_the_due_time_too_and_only_by_the_line_received",
        [
            paid("o1", d(2), [line("l1", "50"), line("l2", "50", sku="tea")]),
            completed("o1", d(3), [part("l1")]),
            review("v1", d(5), sku="tea"),
            Then(earned=50, pending=50),
            until(d(18, "00:00")),  # 15 days after the day it was paid
            Then(earned=120),
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "a_revision_without_the_goods_takes_it_back",
        [
            paid("o1", d(2), [TEA]),
            completed("o1", d(3)),
            review("v1", d(5), sku="tea"),
            paid("o1", d(6), [line("l1", "100", sku="cup")], revision=1),
            Then(earned=100),
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "goods_that_were_not_bought_earn_nothing_and_removed_is_final",
        [
            paid("o1", d(2), [TEA]),
            completed("o1", d(3)),
            review("v1", d(5), sku="cup"),
            Then(earned=100),
            review("v2", d(5), sku="tea"),
            Then(earned=120),
            review_removed("v2", d(6)),
            Then(earned=100),
        ],
        VERIFIED,
    ),
    Case(
        "N8",
        "through_the_cap_of_its_day",
        [
            paid("o1", d(2), [TEA]),
            completed("o1", d(3)),
            *[review(f"v{number}", d(5, f"1{number}:00"), sku="tea") for number in range(4)],
            Then(earned=160),  # min(60, 4 x 20)
            refunded("o1", d(6), "100"),
            Then(earned=0),
        ],
        VERIFIED,
    ),
]

CASES = [*N3, *O2, *N8]
