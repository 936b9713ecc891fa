"""F1 to F4: what a member has who was referred, and who referred; and the least spend of the first purchase's bonus."""

from __future__ import annotations

from tests.model.commands import Referred
from tests.model.days import instant
from tests.model.events import cancelled, completed, d, gift_card, line, paid, profile, refunded, registered
from tests.model.program import Program, program
from tests.model.table.case import Case, Then, late, until


def referring(**options: object) -> Program:
    """100 points for the referrer, 50 for who was referred."""
    return program(
        ["purchase"], more=[{"rule": "referral", "on": "referral", "referrer": 100, "referred": 50, **options}]
    )


REFERRAL = referring()
SIXTY = referring(min_spend="60")
FRIEND = registered(d(-9), member="m2")
"""The ledger knows the referrer."""
BORN = registered(d(1), referred_by="m2")
BOUGHT = [paid("o1", d(2), "100"), completed("o1", d(3))]
"""100 points by the purchase."""

F1 = [
    Case("F1", "told_with_the_registration", [FRIEND, BORN, *BOUGHT, Then(available=150)], REFERRAL),
    Case(
        "F1",
        "or_by_the_profile_at_most_thirty_days_later",
        [
            FRIEND,
            registered(d(1)),
            profile(d(31, "23:59:59"), referred_by="m2"),
            paid("o1", d(32), "100"),
            completed("o1", d(33)),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "and_no_later",
        [
            FRIEND,
            registered(d(1)),
            profile(d(32, "00:00"), referred_by="m2"),
            paid("o1", d(32), "100"),
            completed("o1", d(33)),
            Then(available=100),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "the_program_says_how_many_days",
        [
            FRIEND,
            registered(d(1)),
            profile(d(4), referred_by="m2"),
            paid("o1", d(5), "100"),
            completed("o1", d(6)),
            Then(available=100),
        ],
        referring(within_days=2),
    ),
    Case(
        "F1",
        "whose_registration_is_not_known_is_not_referred_until_it_is",
        [
            FRIEND,
            profile(d(1), referred_by="m2"),
            *BOUGHT,
            Then(available=100),
            late(registered(d(0)), d(5)),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "the_first_told_in_business_time_holds",
        [
            FRIEND,
            registered(d(1)),
            profile(d(2), referred_by="nobody"),
            paid("o1", d(3), "100"),
            completed("o1", d(4)),
            Then(available=100),
            late(profile(d(1, "12:00"), referred_by="m2"), d(5)),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "nobody_refers_oneself",
        [registered(d(1), referred_by="m1"), *BOUGHT, Then(available=100)],
        REFERRAL,
    ),
    Case(
        "F1",
        "and_whoever_names_oneself_has_named_nobody",
        [
            FRIEND,
            registered(d(1), referred_by="m1"),
            profile(d(2), referred_by="m2"),
            paid("o1", d(3), "100"),
            completed("o1", d(4)),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "of_two_who_refer_each_other_the_earlier_told_holds",
        [
            BORN,
            registered(d(1, "09:59:59"), member="m2", referred_by="m1"),
            *BOUGHT,
            Then(available=100),
            Referred(instant(d(5)), "m2", instant(d(4)), instant(d(1, "09:59:59"))),
            Then(available=200),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "so_the_later_told_gives_neither_side_points",
        [
            BORN,
            registered(d(1, "10:00:01"), member="m2", referred_by="m1"),
            *BOUGHT,
            Then(available=150),
            Referred(instant(d(5)), "m2", instant(d(4)), instant(d(1, "10:00:01"))),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "also_where_the_earlier_comes_late",
        [
            FRIEND,
            registered(d(0)),
            late(profile(d(1), referred_by="m2"), d(1)),
            *BOUGHT,
            Then(available=150),
            late(profile(d(0, "12:00"), member="m2", referred_by="m1"), d(4)),
            Then(available=100),
        ],
        REFERRAL,
    ),
    Case(
        "F1",
        "a_referrer_who_is_named_back_earlier_after_all_loses_the_points",
        [
            registered(d(0)),
            Referred(instant(d(5)), "m2", instant(d(4)), instant(d(2))),
            Then(available=100),
            late(profile(d(1), referred_by="m2"), d(6)),
            Then(available=0),
            late(profile(d(0, "12:00"), referred_by="m3"), d(7)),
            Then(available=100),  # m1 names m2 no longer
        ],
        REFERRAL,
    ),
]

F2 = [
    Case(
        "F2",
        "an_order_that_cost_no_money_gives_nothing",
        [
            FRIEND,
            registered(d(1), referred_by="m2"),
            Then(available=20),
            # ¥0.20 paid wholly by the joining gift of 20 points.
            paid("o1", d(2), "0.20", points_used=20, points_value="0.20"),
            completed("o1", d(3)),
            Then(available=0, rules={"joining-gift": 20}),
            paid("o2", d(4), "0.01"),
            completed("o2", d(5)),
            Then(available=50),
        ],
        program(
            ["purchase", "joining-gift"],
            more=[{"rule": "referral", "on": "referral", "referrer": 100, "referred": 50}],
        ),
    ),
    Case(
        "F2",
        "one_order_has_to_be_of_the_least_spend",
        [
            FRIEND,
            BORN,
            paid("o1", d(2), "59.99"),
            completed("o1", d(3)),
            paid("o2", d(2), "59.99"),
            completed("o2", d(3)),
            Then(available=118),  # 2 x 59
            paid("o3", d(4), "60"),
            completed("o3", d(5)),
            Then(available=228),  # and 60 + 50
        ],
        SIXTY,
    ),
    Case(
        "F2",
        "net_of_points_and_of_what_earns_nothing",
        [
            FRIEND,
            BORN,
            paid("o1", d(2), [line("l1", "100"), gift_card("l2", "50")], points_used=4001, points_value="40.01"),
            completed("o1", d(3)),
            Then(rules={"referral": 0}),  # 59.99 are left of what earns
        ],
        SIXTY,
    ),
    Case(
        "F2",
        "it_goes_when_a_refund_takes_it_below_and_another_order_brings_it_again",
        [
            FRIEND,
            BORN,
            *BOUGHT,
            Then(available=150),
            refunded("o1", d(4), "40", refund="r1"),
            Then(available=110),  # 60 are left
            refunded("o1", d(5), "0.01", refund="r2"),
            Then(available=59),
            paid("o2", d(6), "60"),
            completed("o2", d(7)),
            Then(available=169),  # 59 + 60 + 50
        ],
        SIXTY,
    ),
    Case(
        "F2",
        "whoever_had_an_order_before_was_no_new_member",
        [
            FRIEND,
            registered(d(1)),
            *BOUGHT,
            profile(d(20), referred_by="m2"),  # a customer of 19 days
            paid("o2", d(21), "100"),
            completed("o2", d(22)),
            Then(available=200),
        ],
        REFERRAL,
    ),
    Case(
        "F2",
        "nor_if_that_order_comes_late_or_was_cancelled",
        [
            FRIEND,
            registered(d(-1)),
            profile(d(1), referred_by="m2"),
            *BOUGHT,
            Then(available=150),
            late(paid("o0", d(0), "100"), d(5)),
            Then(available=100, pending=100),
            cancelled("o0", d(6)),
            Then(available=100, pending=0),
        ],
        REFERRAL,
    ),
    Case(
        "F2",
        "the_bonus_of_the_first_purchase_may_ask_for_a_least_spend_too",
        [
            paid("o1", d(2), "49.99"),
            completed("o1", d(3)),
            Then(available=49),
            paid("o2", d(4), "50"),
            completed("o2", d(5)),
            Then(available=199, rules={"first-purchase": 100}),
            refunded("o2", d(6), "0.01"),
            Then(available=98, rules={"first-purchase": 0}),  # 49 + 49
            paid("o3", d(7), "60", points_used=20, points_value="0.20"),
            completed("o3", d(8)),
            Then(available=237),  # 98 - 20 + 59 + 100
        ],
        program(["purchase", "first-purchase"], rule={"first-purchase": {"min_spend": "50"}}),
    ),
]

F3 = [
    Case(
        "F3",
        "a_referrer_of_whom_nothing_is_known_gives_nobody_points",
        [BORN, *BOUGHT, Then(available=100), until(d(60)), Then(available=100)],
        REFERRAL,
    ),
    Case(
        "F3",
        "until_something_is_known_of_him_within_the_days_that_a_refund_waits",
        [BORN, *BOUGHT, registered(d(33, "09:59:59"), member="m2"), Then(available=150)],
        REFERRAL,
    ),
    Case(
        "F3",
        "and_no_later",
        [BORN, *BOUGHT, registered(d(33), member="m2"), until(d(60)), Then(available=100)],
        REFERRAL,
    ),
    Case(
        "F3",
        "who_is_a_stranger_has_points_once_something_is_known_of_him",
        [
            Referred(instant(d(5)), "m3", instant(d(4))),
            Then(available=0),
            registered(d(6)),
            Then(available=100, lots={("2027-03-04", None): {"available": 100}}),
        ],
        REFERRAL,
    ),
    Case(
        "F3",
        "but_not_for_what_was_let_go",
        [
            Referred(instant(d(5)), "m3", instant(d(4))),
            Referred(instant(d(6)), "m4", instant(d(4))),
            registered(d(35)),  # that of m3 has waited 30 days
            Then(available=100),
        ],
        REFERRAL,
    ),
    Case(
        "F3",
        "a_cap_counts_the_referrals_of_a_month",
        [
            registered(d(1)),
            *[Referred(instant(d(6)), f"m{number}", instant(d(number))) for number in (3, 4, 5)],
            Referred(instant(d(40)), "m6", instant(d(32))),
            # Two of March, in the lot of its last day; one of April.
            Then(
                available=300,
                lots={("2027-03-31", None): {"available": 200}, ("2027-04-30", None): {"available": 100}},
            ),
            Referred(instant(d(41)), "m3", None),
            Then(available=300),
            Referred(instant(d(41)), "m4", None),
            Then(available=200),
        ],
        referring(cap={"per": "month", "referrals": 2}),
    ),
]

F4 = [
    Case(
        "F4",
        "who_was_referred_has_points_while_a_first_order_stands",
        [
            FRIEND,
            BORN,
            paid("o1", d(2), "100"),
            Then(available=0, pending=100),
            completed("o1", d(3)),
            Then(available=150, rules={"referral": 50}),
            refunded("o1", d(4), "100"),
            Then(available=0, rules={"referral": 0}),
        ],
        REFERRAL,
    ),
    Case(
        "F4",
        "who_referred_has_points_while_it_stands_there",
        [
            registered(d(1)),
            Referred(instant(d(5)), "m3", instant(d(4))),
            Referred(instant(d(6)), "m3", instant(d(4))),
            Referred(instant(d(6)), "m4", instant(d(5))),
            Then(available=200, lots={("2027-03-04", None): {"available": 100}}),
            Referred(instant(d(8)), "m3", None),
            until(d(9)),
            Then(available=100, lots={("2027-03-05", None): {"available": 100}}),
        ],
        REFERRAL,
    ),
]

CASES = [*F1, *F2, *F3, *F4]
