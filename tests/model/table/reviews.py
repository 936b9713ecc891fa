"""N3, O2: a review earns once, while it stands."""

from __future__ import annotations

from tests.model.events import d, review, review_removed
from tests.model.program import program
from tests.model.table.case import Case, Then, late

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

CASES = [*N3, *O2]
