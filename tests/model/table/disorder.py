"""O: duplicates and disorder."""

from __future__ import annotations

from itertools import permutations

from tests.model.events import (
    Event,
    cancelled,
    completed,
    d,
    favourite,
    line,
    paid,
    part,
    refunded,
    registered,
    review,
    shipped,
    signed_in,
)
from tests.model.program import program
from tests.model.table.case import (
    FIRST,
    PURCHASE,
    Case,
    Then,
    entry,
    late,
    order,
    reached,
    until,
)

NO_LIMIT = program(["purchase"], points={"max_lateness_days": "none"})
LOT1 = ("2027-03-01", None)

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

O2 = [
    Case(
        "O2",
        "of_two_completions_the_earlier_holds",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(6)),
            late(completed("o1", d(5), id="again"), d(7)),
            Then(earned=100, orders=order(timeline=[entry(d(5), "100", 1)])),
            late(completed("o1", d(6, "11:00"), id="and again"), d(8)),
            Then(
                orders=order(timeline=[entry(d(5), "100", 1)]),
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("again", "booked"),
                    ("and again", "known"),
                ],
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "of_two_tellings_of_a_refund_the_earlier_holds",
        [
            paid("o1", d(1), "100"),
            completed("o1", d(2)),
            refunded("o1", d(6), "30"),
            Then(available=70),
            late(refunded("o1", d(5), "50", id="again"), d(7)),
            Then(available=50, orders=order(timeline=[entry(d(2), "100", 1), entry(d(5), "-50")])),
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "ties_go_by_source_and_id",
        [
            paid("o1", d(1), "100"),
            refunded("o1", d(6), "30", id="b"),
            late(refunded("o1", d(6), "50", id="a"), d(7)),
            Then(pending=50),
            late(refunded("o1", d(6), "60", id="z", source="/a"), d(7)),
            Then(pending=40),
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "a_tie_made_by_the_paid_time_too",
        [
            paid("o1", d(5), "100"),
            late(refunded("o1", d(2), "30", id="b"), d(6)),
            late(refunded("o1", d(3), "50", id="a"), d(7)),
            # both count from day 5: the least id holds
            Then(pending=50),
        ],
        PURCHASE,
    ),
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
    Case(
        "O2",
        "a_favourite_told_twice",
        [favourite("f1", d(5)), favourite("f1", d(6), id="again"), Then(earned=2)],
        program(["favourite"]),
    ),
    Case(
        "O2",
        "a_higher_revision_replaces_the_lines",
        [
            paid("o1", d(1), "900"),
            Then(pending=1800),
            paid("o1", d(2), [line("l1", "900"), line("l2", "100")], revision=1),
            Then(pending=2000),
            completed("o1", d(3)),
            paid("o1", d(4), [line("l2", "100")], revision=2),
            Then(available=100, pending=0, orders=order(timeline=[entry(d(3), "100", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "a_lower_revision_gives_only_its_time",
        [
            paid("o1", d(2), "300", revision=1),
            Then(lots={("2027-03-02", None): {"pending": 450}}),
            late(paid("o1", d(1), "900"), d(3)),
            Then(pending=450, lots={LOT1: {"pending": 450}}),
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "a_revision_keeps_the_paid_time",
        [
            paid("o1", d(1), "300"),
            paid("o1", d(20), "200", revision=1),
            Then(available=300, pending=0, lots={LOT1: {"available": 300}}),  # 200 x 1.5, due since day 17
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "an_order_is_a_shop_s",
        [
            paid("o1", d(1), "100", shop="north"),
            paid("o1", d(1), "100", shop="south", id="south:o1:paid"),
            cancelled("o1", d(2), shop="south"),
            Then(pending=100, orders={"north/o1": {"earned_pending": 100}, "south/o1": {"earned_pending": 0}}),
        ],
        PURCHASE,
    ),
    Case(
        "O2",
        "of_two_parcels_told_the_earlier_holds",
        [
            paid("o1", d(1), "100"),
            shipped("o1", d(10)),
            shipped("o1", d(8), id="again"),
            until(d(30)),
            Then(orders=order(timeline=[entry(d(24, "00:00"), "100", 1)])),  # when day 8 + 15 ends
        ],
        PURCHASE,
    ),
]

O3 = [
    Case(
        "O3",
        "a_refund_before_its_order_is_parked_and_used",
        [
            refunded("o1", d(5), "200"),
            Then(parked=frozenset({("o1", "r1")}), outcomes=[("o1:refunded:r1", "parked")]),
            late(paid("o1", d(1), "900"), d(6)),
            Then(pending=1050, parked=frozenset()),  # 700 x 1.5
        ],
        PURCHASE,
    ),
    Case(
        "O3",
        "reported_after_park_days",
        [
            refunded("o1", d(5), "200"),
            until(d(34)),
            Then(reported=frozenset()),
            until(d(35)),
            Then(parked=frozenset({("o1", "r1")}), reported=frozenset({("o1", "r1")})),
        ],
        PURCHASE,
    ),
]

O4 = [
    Case(
        "O4",
        "cancelled_after_completion_all_is_reversed",
        [
            paid("o0", d(0), "100"),
            completed("o0", d(0, "11:00")),
            paid("o1", d(1), "900", points_used=100, points_value="1.00"),
            completed("o1", d(5)),
            Then(available=1798),  # 899 x 2
            cancelled("o1", d(6)),
            Then(
                available=100,
                earned=100,
                returned=100,
                orders=order(timeline=[entry(d(5), "899", 1), entry(d(6), "-899", -1)]),
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O4",
        "the_bonus_too",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            Then(available=1900),
            cancelled("o1", d(6)),
            Then(available=0, debt=0, earned=0),
        ],
        FIRST,
    ),
    Case(
        "O4",
        "a_half_completed_order_too",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            completed("o1", d(3), [part("l1")]),
            Then(available=450, pending=450),
            cancelled("o1", d(5)),
            Then(available=0, pending=0, orders=order(timeline=[entry(d(3), "300"), entry(d(5), "-300")])),
        ],
        PURCHASE,
    ),
]

O5 = [
    Case(
        "O5",
        "cancelled_before_paid_arrives",
        [cancelled("o1", d(2)), late(paid("o1", d(1), "900"), d(3)), Then(earned=0, pending=0)],
        PURCHASE,
    ),
    Case(
        "O5",
        "cancelled_before_completion",
        [
            paid("o1", d(1), "900"),
            cancelled("o1", d(2)),
            Then(pending=0),
            late(completed("o1", d(3)), d(3)),
            until(d(40)),
            Then(pending=0, earned=0, orders=order(timeline=[])),
        ],
        PURCHASE,
    ),
    Case(
        "O5",
        "the_timeline_is_what_the_facts_say_in_any_order",
        [
            paid("o1", d(1), "900"),
            cancelled("o1", d(5)),
            late(completed("o1", d(4)), d(6)),
            Then(earned=0, orders=order(timeline=[entry(d(4), "900", 1), entry(d(5), "-900", -1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O5",
        "points_used_come_back",
        [
            paid("o0", d(0), "100"),
            completed("o0", d(0, "11:00")),
            paid("o1", d(1), "50", points_used=100, points_value="1.00"),
            Then(available=0, pending=49),
            cancelled("o1", d(2)),
            Then(available=100, pending=0, returned=100),
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
    )
]

CASES = [*O1, *O2, *O3, *O4, *O5, *O6, *O7]
