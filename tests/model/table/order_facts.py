"""O2, O3, O9: which of several reports of an order's fact holds, and how late a fact may be."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, line, paid, refunded, review, shipped, signed_in
from tests.model.program import program
from tests.model.table.case import LOT1, NO_LIMIT, PURCHASE, Case, Then, entry, late, order, until

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

O9 = [
    Case(
        "O9",
        "an_order_up_to_the_limit_counts_from_its_own_time",
        [
            paid("o1", d(40), "100"),
            late(paid("o2", d(10), "100"), d(41)),
            Then(lots={("2027-03-10", None): {"available": 100}, ("2027-04-09", None): {"pending": 100}}),
        ],
        PURCHASE,
    ),
    Case(
        "O9",
        "beyond_it_from_the_newest_paid_time_and_none_of_its_facts_before",
        [
            paid("o1", d(40), "100"),
            late(paid("o2", d(10, "09:59:59"), "100"), d(41)),
            Then(lots={("2027-04-09", None): {"pending": 200}}),
            late(completed("o2", d(12)), d(42)),
            Then(available=100, orders={"o2": {"timeline": [entry(d(40), "100", 1)]}}),
        ],
        PURCHASE,
    ),
    Case(
        "O9",
        "none_is_without_limit",
        [
            paid("o1", d(40), "100"),
            late(paid("o2", d(-60), "100"), d(41)),
            Then(lots={("2026-12-30", None): {"available": 100}}),
        ],
        NO_LIMIT,
    ),
    Case(
        "O9",
        "each_kind_has_its_own_clock",
        [
            paid("o1", d(60), "100"),
            late(signed_in(d(1)), d(61)),
            late(signed_in(d(2)), d(61, "11:00")),
            Then(lots={("2027-03-01", None): {"available": 5}, ("2027-03-02", None): {"available": 5}}),
        ],
    ),
    Case(
        "O9",
        "an_order_s_own_facts_are_never_late",
        [
            paid("o1", d(1), "100"),
            paid("o2", d(60), "100"),
            late(cancelled("o1", d(2)), d(61)),
            Then(orders=order(earned_confirmed=0, timeline=[])),
        ],
        PURCHASE,
    ),
    Case(
        "O9",
        "a_late_sign_in_counts_on_the_newest_day",
        [
            signed_in(d(40)),
            late(signed_in(d(9)), d(41)),
            Then(earned=5),
            late(signed_in(d(39)), d(41, "11:00")),
            Then(earned=10),
        ],
        program(["sign-in"]),
    ),
    Case(
        "O9",
        "a_replay_of_a_topic_in_its_order_is_never_late",
        [
            late(signed_in(d(-100)), d(100, "10:00")),
            late(signed_in(d(-50)), d(100, "10:01")),
            late(signed_in(d(1)), d(100, "10:02")),
            Then(earned=15, lots={("2026-11-20", None): {"available": 5}}),
        ],
        program(["sign-in"]),
    ),
    Case(
        "O9",
        "a_late_review_counts_on_the_newest_day",
        [
            review("v1", d(50)),
            late(review("v2", d(10)), d(51)),
            late(review("v3", d(20)), d(51, "11:00")),
            # v2 is 40 days late and counts from day 50, v3 is 30 days late and counts from its own
            Then(lots={("2027-04-19", None): {"available": 40}, ("2027-03-20", None): {"available": 20}}),
        ],
        program(["review"]),
    ),
]

CASES = [*O2, *O3, *O9]
