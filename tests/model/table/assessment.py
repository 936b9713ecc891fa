"""O8, R8: what an order's facts amount to: completed lines, success, the timeline."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, gift_card, line, paid, part, refunded, shipped
from tests.model.program import program
from tests.model.table.case import FIRST, PURCHASE, SPENDING, Case, Then, entry, late, order, reached, spender, until

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
    *[
        Case(
            "O8",
            f"a_line_sent_back_counts_as_completed_for_success_{name}",
            [
                paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
                *[refunded("o1", at, [part("l2", amount)], refund=f"r-{at}") for at, amount in parts if at < d(5)],
                completed("o1", d(5), [part("l1")]),
                *[refunded("o1", at, [part("l2", amount)], refund=f"r-{at}") for at, amount in parts if at > d(5)],
                until(d(8)),
                # 300 x 1.5, all of it confirmed, and the first purchase's 100
                Then(available=550, pending=0, orders=order(timeline=timeline)),
                until(d(18)),
                completed("o1", d(19)),
                Then(available=550, orders=order(timeline=timeline)),
            ],
            FIRST,
        )
        for name, parts, timeline in (
            ("that_was_refunded_before", [(d(3), "300")], [entry(d(5), "300", 1)]),
            ("that_is_refunded_after", [(d(7), "300")], [entry(d(5), "300"), entry(d(7), "0", 1)]),
            ("with_its_last_part", [(d(3), "100"), (d(7), "200")], [entry(d(5), "300"), entry(d(7), "0", 1)]),
        )
    ],
    Case(
        "O8",
        "also_a_line_sent_back_that_earns_nothing",
        [
            paid("o1", d(1), [line("l1", "300"), gift_card("l2", "100")]),
            completed("o1", d(5), [part("l1")]),
            Then(available=450, pending=0, orders=order(timeline=[entry(d(5), "300")])),
            refunded("o1", d(6), [part("l2", "100")]),
            Then(available=550, orders=order(timeline=[entry(d(5), "300"), entry(d(6), "0", 1)])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "a_line_of_no_amount_is_not_sent_back",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "0")]),
            refunded("o1", d(3), [part("l2", "0")]),
            completed("o1", d(5), [part("l1")]),
            Then(available=450, orders=order(timeline=[entry(d(5), "300")])),
            until(d(17)),
            Then(available=550, orders=order(timeline=[entry(d(5), "300"), entry(d(17, "00:00"), "0", 1)])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "no_line_makes_a_success_by_being_sent_back_itself",
        [
            paid("o1", d(1), [line("l1", "300"), gift_card("l2", "100")]),
            completed("o1", d(5), [part("l2")]),
            refunded("o1", d(6), [part("l1", "300")]),
            Then(available=0, pending=0, orders=order(timeline=[])),
        ],
        FIRST,
    ),
    Case(
        "O8",
        "not_where_the_order_is_cancelled_at_that_instant",
        [
            paid("o1", d(1), [line("l1", "300"), line("l2", "300")]),
            completed("o1", d(5), [part("l1")]),
            refunded("o1", d(7), [part("l2", "300")]),
            Then(available=550),
            late(cancelled("o1", d(7)), d(8)),
            Then(available=0, orders=order(timeline=[entry(d(5), "300"), entry(d(7), "-300")])),
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

R8 = [
    Case(
        "R8",
        "growth_and_success_fall_at_once_and_the_tier_stays",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            refunded("o1", d(6), "600"),
            refunded("o1", d(7), "300", refund="r2"),
            Then(
                orders=order(timeline=[entry(d(5), "900", 1), entry(d(6), "-600"), entry(d(7), "-300", -1)]),
                tiers=[reached(d(5), "supreme")],
            ),
        ],
        PURCHASE,
    ),
    Case(
        "R8",
        "a_refund_before_completion_takes_the_tier_it_never_reached",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(5)),
            Then(tiers=[reached(d(5), "supreme")]),
            late(refunded("o1", d(4), "600"), d(6)),
            Then(orders=order(timeline=[entry(d(5), "300", 1)]), tiers=[reached(d(5), "regular")]),
        ],
        PURCHASE,
    ),
]

CASES = [*O8, *R8]
