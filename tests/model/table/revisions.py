"""O11: revisions beside refunds."""

from __future__ import annotations

from itertools import permutations

from tests.model.events import Line, cancelled, completed, d, line, paid, part, refund_failed, refunded
from tests.model.table.case import NO_LIMIT, PURCHASE, Case, Then, late, order

NONE: frozenset[str] = frozenset()
AFTER_REFUND = frozenset({"revised_after_refund"})


def two(first: str, second: str) -> list[Line]:
    """Lines l1 and l2."""
    return [line("l1", first), line("l2", second)]


O11 = [
    *[
        Case(
            "O11",
            f"a_line_lowered_by_what_was_refunded_of_it_{number}",
            [
                *[late(event, d(20, f"1{place}:00")) for place, event in enumerate(arrived)],
                # Both are deducted: 500 x 1.5
                Then(available=750, orders=order(alarms=AFTER_REFUND)),
            ],
            NO_LIMIT,
        )
        for number, arrived in enumerate(
            permutations(
                [
                    paid("o1", d(1), "900"),
                    completed("o1", d(5)),
                    refunded("o1", d(6), "200"),
                    paid("o1", d(7), "700", revision=1),
                ]
            )
        )
    ],
    *[
        Case(
            "O11",
            f"a_line_lowered_by_{name}",
            [
                paid("o1", d(1), two("900", "100")),
                completed("o1", d(5)),
                refunded("o1", d(6), [part("l1", "200")]),
                paid("o1", at, revised, revision=1),
                Then(orders=order(alarms=alarms)),
            ],
            PURCHASE,
        )
        for name, at, revised, alarms in (
            ("less_than_was_refunded", d(7), two("800", "100"), AFTER_REFUND),
            ("more_than_was_refunded", d(7), two("699.99", "100"), NONE),
            ("nothing", d(7), two("900", "100"), NONE),
            ("something_where_another_was_refunded", d(7), two("900", "50"), NONE),
            ("something_before_the_refund", d(5, "23:00"), two("800", "100"), NONE),
            ("something_at_that_instant", d(6), two("800", "100"), AFTER_REFUND),
        )
    ],
    Case(
        "O11",
        "several_refunds_are_one_sum",
        [
            paid("o1", d(1), "900"),
            refunded("o1", d(2), "100", refund="r1"),
            refunded("o1", d(3), "100", refund="r2"),
            paid("o1", d(4), "700", revision=1),
            Then(pending=750, orders=order(alarms=AFTER_REFUND)),
        ],
        PURCHASE,
    ),
    Case(
        "O11",
        "a_refund_that_failed_is_no_second_deduction",
        [
            paid("o1", d(1), "900"),
            refunded("o1", d(2), "200"),
            paid("o1", d(4), "700", revision=1),
            Then(pending=750, orders=order(alarms=AFTER_REFUND)),
            refund_failed("o1", d(5)),
            Then(pending=1050, orders=order(alarms=NONE)),
        ],
        PURCHASE,
    ),
    Case(
        "O11",
        "nor_is_one_after_the_cancellation",
        [
            paid("o1", d(1), "900"),
            cancelled("o1", d(2)),
            refunded("o1", d(3), "200"),
            paid("o1", d(4), "700", revision=1),
            Then(pending=0, orders=order(alarms=frozenset({"cancelled_but_going_on"}))),
        ],
        PURCHASE,
    ),
    *[
        Case(
            "O11",
            f"compared_with_the_revision_before_{number}",
            [
                *[late(event, d(20, f"1{place}:00")) for place, event in enumerate(arrived)],
                # Revision 1 lowered it before the refund, revision 2 leaves it as it was: 500 x 1.5
                Then(available=750, orders=order(alarms=NONE)),
            ],
            NO_LIMIT,
        )
        for number, arrived in enumerate(
            permutations(
                [
                    paid("o1", d(1), "900"),
                    paid("o1", d(2), "700", revision=1),
                    refunded("o1", d(3), "200"),
                    paid("o1", d(4), "700", shipping="5", revision=2),
                ]
            )
        )
    ],
    *[
        Case(
            "O11",
            f"a_refund_of_a_line_that_a_revision_removed_is_no_unknown_line_{number}",
            [
                *[late(event, d(20, f"1{place}:00")) for place, event in enumerate(arrived)],
                Then(available=1050, orders=order(alarms=NONE)),  # 700 x 1.5
            ],
            NO_LIMIT,
        )
        for number, arrived in enumerate(
            permutations(
                [
                    paid("o1", d(1), two("700", "200")),
                    completed("o1", d(2)),
                    refunded("o1", d(3), [part("l2", "200")]),
                    paid("o1", d(4), "700", revision=1),
                ]
            )
        )
    ],
    Case(
        "O11",
        "a_line_that_no_revision_had_is_unknown",
        [
            paid("o1", d(1), two("700", "200")),
            refunded("o1", d(3), [part("l2", "200"), part("l9", "1")]),
            paid("o1", d(4), "700", revision=1),
            Then(pending=1050, orders=order(alarms=frozenset({"unknown_line"}))),
        ],
        PURCHASE,
    ),
]

CASES = O11
