"""O1, O6, O7, O12: repetition, spelling, order of arrival and batches change nothing."""

from __future__ import annotations

from itertools import permutations

from tests.model.events import Event, cancelled, completed, d, line, paid, part, refunded, registered, signed_in
from tests.model.table.case import NO_LIMIT, PURCHASE, Case, Then, entry, late, reached, until

O1 = [
    Case(
        "O1",
        "the_same_event_again_does_nothing",
        [
            paid("o1", d(1), "900"),
            late(paid("o1", d(1), "900"), d(2)),
            completed("o1", d(5)),
            late(completed("o1", d(5)), d(6)),
            Then(
                earned=1800,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:paid:0", "known"),
                    ("o1:completed", "booked"),
                    ("o1:completed", "known"),
                ],
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O1",
        "with_another_payload_it_is_a_conflict",
        [
            paid("o1", d(1), "900"),
            late(paid("o1", d(1), "9000"), d(2)),
            Then(pending=1800, outcomes=[("o1:paid:0", "booked"), ("o1:paid:0", "conflict")]),
        ],
        PURCHASE,
    ),
]

O12 = [
    Case(
        "O12",
        "a_quantity_spelled_otherwise_is_the_same_event",
        [
            paid("o1", d(1), [line("l1", "900", quantity="1"), line("l2", "0.00", quantity=2)]),
            late(paid("o1", d(1), [line("l1", "900.00", quantity="1.0"), line("l2", "0", quantity="02")]), d(2)),
            completed("o1", d(5), [part("l1", quantity=1)]),
            late(completed("o1", d(5), [part("l1", quantity="1.000")]), d(6)),
            Then(
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:paid:0", "known"),
                    ("o1:completed:l1", "booked"),
                    ("o1:completed:l1", "known"),
                ]
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O12",
        "another_quantity_is_another_payload",
        [
            paid("o1", d(1), [line("l1", "900", quantity="1")]),
            late(paid("o1", d(1), [line("l1", "900", quantity="1.01")]), d(2)),
            late(paid("o1", d(1), [line("l1", "900", quantity="10")]), d(2)),
            Then(outcomes=[("o1:paid:0", "booked"), ("o1:paid:0", "conflict"), ("o1:paid:0", "conflict")]),
        ],
        PURCHASE,
    ),
]

THREE: list[Event] = [
    paid("o1", d(1), "900"),
    completed("o1", d(3)),
    refunded("o1", d(6), "200"),
    paid("o2", d(4), "100", points_used=500, points_value="5.00"),
    cancelled("o3", d(5)),
    paid("o3", d(2), "300"),
]

O6 = [
    Case(
        "O6",
        f"any_permutation_{number:03}",
        [
            *[late(event, d(7, f"10:{minute:02}")) for minute, event in enumerate(shuffled)],
            until(d(40)),
            Then(
                # o1: 700 x 1.5 = 1,050, paid before any tier. o2: paid on day 4, supreme since day 3:
                # 95 x 1 x 1.5 = 142. o3: cancelled
                earned=1192,
                redeemed=500,
                returned=0,
                net=692,
                orders={
                    "o1": {"timeline": [entry(d(3), "900", 1), entry(d(6), "-200")]},
                    "o2": {"timeline": [entry(d(20, "00:00"), "95", 1)]},
                    "o3": {"timeline": []},
                },
                tiers=[reached(d(3), "supreme")],
            ),
        ],
        NO_LIMIT,
    )
    for number, shuffled in enumerate(permutations(THREE))
    if number % 72 == 0
]

O7 = [
    Case(
        "O7",
        "any_cut_into_batches",
        [
            registered(d(1)),
            paid("o1", d(1), "900"),
            completed("o1", d(3)),
            paid("o2", d(4), "100", points_used=500, points_value="5.00"),
            signed_in(d(5)),
            refunded("o1", d(6), "200"),
            until(d(40)),
            # gift 20, o1 1,050, bonus 100, o2 95 x 1.5 = 142, sign-in 5; 500 used
            Then(earned=1317, available=817, pending=0, debt=0),
        ],
    ),
]

CASES = [*O1, *O6, *O7, *O12]
