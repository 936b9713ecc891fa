"""O8, O9: when lines and orders are completed, and how late a fact may be."""

from __future__ import annotations

from tests.model.events import (
    cancelled,
    completed,
    d,
    gift_card,
    line,
    paid,
    part,
    refunded,
    review,
    shipped,
    signed_in,
)
from tests.model.program import program
from tests.model.table.case import (
    FIRST,
    PURCHASE,
    SPENDING,
    Case,
    Then,
    entry,
    late,
    order,
    reached,
    spender,
    until,
)

NO_LIMIT = program(["purchase"], points={"max_lateness_days": "none"})

O8 = [
    Case(
        "O8",
        "lines_confirm_as_they_complete_at_the_whole_order_s_band",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            Then(pending=900),  # 600 x 1.5
            completed("o1", d(2), [part("l1")]),
            Then(pending=450, available=450, orders=order(timeline=[entry(d(2), "300")])),
            completed("o1", d(3), [part("l2")]),
            Then(pending=0, available=900, orders=order(timeline=[entry(d(2), "300"), entry(d(3), "300", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "floor_while_some_are_open_exactly_f_when_all_are_done",
        [
            paid("o1", d(1), [line("l1", "33.50"), line("l2", "33.50")]),
            completed("o1", d(2), [part("l1")]),
            Then(pending=34, available=33),  # f(67) = 67, floor(33.50) confirmed
            completed("o1", d(3), [part("l2")]),
            Then(pending=0, available=67),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "floor_also_where_the_order_rounds_up",
        [
            paid("o1", d(1), [line("l1", "33.60"), line("l2", "33.90")]),
            completed("o1", d(2), [part("l1")]),
            Then(pending=35, available=33),  # f(67.50) = 68
            completed("o1", d(3), [part("l2")]),
            Then(pending=0, available=68),
        ],
        program(["purchase"], points={"rounding": "half_up"}),
    ),
    Case(
        "O8",
        "due_at_the_midnight_that_ends_the_day",
        [
            paid("o1", d(1), "100"),
            until(d(16, "23:59:59.999999")),
            Then(pending=100, available=0, orders=order(timeline=[])),
            until(d(17, "00:00")),
            Then(pending=0, available=100, orders=order(timeline=[entry(d(17, "00:00"), "100", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "counted_from_shipped",
        [
            paid("o1", d(1), "100"),
            shipped("o1", d(10)),
            until(d(25, "23:59:59")),
            Then(pending=100),
            until(d(26, "00:00")),
            Then(available=100, orders=order(timeline=[entry(d(26, "00:00"), "100", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "each_line_from_its_own_parcel",
        [
            paid("o1", d(1), [line("l1", "100"), line("l2", "100")]),
            shipped("o1", d(4), [part("l1")]),
            shipped("o1", d(6), [part("l2")], id="second parcel"),
            until(d(20)),
            Then(available=150, pending=150),  # 200 x 1.5
            until(d(22)),
            Then(
                available=300,
                orders=order(timeline=[entry(d(20, "00:00"), "100"), entry(d(22, "00:00"), "100", 1)]),
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "a_late_shipped_moves_the_timeline_and_not_the_points",
        [
            paid("o1", d(1), "900"),
            until(d(18)),
            Then(available=1800, tiers=[reached(d(17, "00:00"), "supreme")]),
            late(shipped("o1", d(10)), d(20)),
            Then(available=1800, pending=0, orders=order(timeline=[]), tiers=[]),
            until(d(26)),
            Then(
                available=1800,
                orders=order(timeline=[entry(d(26, "00:00"), "900", 1)]),
                tiers=[reached(d(26, "00:00"), "supreme")],
            ),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "a_late_shipped_moves_the_bonus_with_the_timeline",
        [
            paid("o1", d(1), "100"),
            until(d(18)),
            Then(available=200),
            late(shipped("o1", d(10)), d(20)),
            Then(available=100, rules={"first-purchase": 0}),  # no success yet, as is known now
            until(d(25, "23:59:59")),
            Then(available=100),
            until(d(60)),
            Then(available=200, lots={("2027-03-01", None): {"available": 200}}),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "parts_of_a_quantity_never_add_up",
        [
            paid("o1", d(1), [line("l1", "100", quantity=2)]),
            completed("o1", d(2), [part("l1", quantity=1)], id="one"),
            completed("o1", d(3), [part("l1", quantity=1)], id="the other"),
            Then(pending=100, available=0),
            until(d(17)),
            Then(available=100, orders=order(timeline=[entry(d(17, "00:00"), "100", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "a_later_completed_changes_nothing",
        [
            paid("o1", d(1), "100"),
            until(d(18)),
            completed("o1", d(19)),
            Then(available=100, orders=order(timeline=[entry(d(17, "00:00"), "100", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "O8",
        "refunded_in_full_before_it_never_completes",
        [
            paid("o1", d(1), "100"),
            until(d(18)),
            late(refunded("o1", d(16), "100"), d(19)),
            Then(available=0, debt=0, orders=order(timeline=[])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "cancelled_before_it_whichever_message_came_first",
        [
            paid("o1", d(1), "100"),
            until(d(18)),
            Then(available=200),
            late(cancelled("o1", d(16)), d(19)),
            Then(available=0, debt=0, orders=order(timeline=[])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "a_line_sent_back_counts_as_completed_when_due_for_success",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            refunded("o1", d(3), [part("l2", "300")]),
            completed("o1", d(5), [part("l1")]),
            # 300 x 1.5, all of it confirmed; the order is not successful yet
            Then(available=450, pending=0, orders=order(timeline=[entry(d(5), "300")])),
            until(d(17)),
            Then(
                available=550,
                orders=order(timeline=[entry(d(5), "300"), entry(d(17, "00:00"), "0", 1)]),
            ),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "success_waits_for_lines_that_earn_nothing_too",
        [
            paid("o1", d(1), [line("l1", "300"), gift_card("l2", "100")]),
            completed("o1", d(5), [part("l1")]),
            Then(available=450, pending=0, orders=order(timeline=[entry(d(5), "300")])),
            completed("o1", d(6), [part("l2")]),
            Then(available=550, orders=order(timeline=[entry(d(5), "300"), entry(d(6), "0", 1)])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "success_needs_an_eligible_line_with_something_left",
        [
            paid("o1", d(1), [line("l1", "300"), gift_card("l2", "100")]),
            refunded("o1", d(2), [part("l1", "300")]),
            completed("o1", d(5)),
            Then(available=0, pending=0, orders=order(timeline=[])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "success_is_judged_before_points",
        [
            paid("o0", d(0), "500"),
            cancelled("o0", d(0, "11:00")),
            spender("o1", d(1), 20000),
            paid("o2", d(2), "10", points_used=1000, points_value="10"),
            completed("o2", d(3)),
            # nothing is left of its amount but what points paid: successful, and worth nothing
            Then(orders={"o2": {"earned_confirmed": 0, "timeline": [entry(d(3), "0", 1)]}}),
        ],
        SPENDING,
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

CASES = [*O8, *O9]
