"""E6, P3, P4, P7: which points are spent first, to which lots they return, and what orders leave of redemptions."""

from __future__ import annotations

from tests.model.events import cancelled, completed, d, paid, refunded, review
from tests.model.program import program
from tests.model.table.case import (
    AT_ONCE,
    EXPIRED_AND_BACK,
    GRACE_LOT,
    HUNDRED,
    LOT1,
    LOT2,
    MARCH_LOT,
    MONTH,
    NO_SERVICE,
    SPENDING,
    SPENDING_MONTH,
    TWO_LOTS,
    Case,
    Then,
    give_back,
    hold,
    late,
    receive,
    redeem,
    spender,
    until,
)
from tests.model.table.expiry import FROM_NEVER

E6 = [
    Case(
        "E6",
        "earliest_expiry_first",
        [
            paid("o2", d(3), "100"),
            completed("o2", d(4)),
            late(paid("o1", d(1), "100"), d(5)),
            late(completed("o1", d(2)), d(6)),
            spender("s1", d(7), 130),
            Then(available=70, lots={("2027-03-03", None): {"available": 70}}),
        ],
        SPENDING,
    ),
    Case(
        "E6",
        "of_one_day_plain_before_grace",
        [
            *HUNDRED,
            spender("s1", d(10), 100),
            refunded("s1", d(40), "200"),  # grace until 9 May
            review("v1", d(40, "11:00")),  # 20 until 9 May
            spender("s2", d(41), 30),
            Then(lots={("2026-05-09", "2026-04-01"): {"available": 90}}, available=90),
        ],
        program(["purchase", "review"], rule=NO_SERVICE, points={"expiry": MONTH}),
    ),
    Case(
        "E6",
        "never_expiring_last",
        [
            *HUNDRED,
            paid("o2", d(10), "100"),
            completed("o2", d(11)),
            spender("s1", d(12), 130),
            Then(available=70, lots={("never", None): {"available": 70}}),
        ],
        FROM_NEVER,
    ),
    Case(
        "E6",
        "a_late_event_reorders_nothing",
        [
            paid("o2", d(3), "100"),
            completed("o2", d(4)),
            spender("s1", d(5), 60),
            late(paid("o1", d(1), "100"), d(6)),
            late(completed("o1", d(2)), d(6, "11:00")),
            # day 1's lot would have gone first
            Then(lots={("2027-03-01", None): {"available": 100}, ("2027-03-03", None): {"available": 40}}),
        ],
        SPENDING,
    ),
]

P3 = [
    Case(
        "P3",
        "back_to_the_lots_in_reverse_order",
        [
            *TWO_LOTS,
            spender("s1", d(3), 150),  # 100 of day 1's lot, 50 of day 2's
            Then(available=50, lots={LOT2: {"available": 50}}),
            refunded("s1", d(5), "100"),
            # half of 150: 50 to day 2's lot, 25 to day 1's
            Then(available=125, lots={LOT1: {"available": 25}, LOT2: {"available": 100}}),
            refunded("s1", d(6), "100", refund="r2"),
            Then(available=200, lots={LOT1: {"available": 100}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "what_the_order_owes_first",
        [
            *TWO_LOTS[:2],
            spender("s1", d(3), 150),
            Then(available=0, debt=50, orders={"s1": {"owed": 50}}),
            refunded("s1", d(5), "100"),
            Then(available=25, debt=0, lots={LOT1: {"available": 25}}),  # 75: 50 cancel the debt
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "also_before_older_debts_of_others",
        [
            spender("s1", d(1), 100),
            spender("s2", d(2), 50),
            refunded("s2", d(3), "200"),
            Then(debt=100, orders={"s1": {"owed": 100}, "s2": {"owed": 0}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "points_that_paid_its_debt_count_as_used_by_it",
        [
            *TWO_LOTS[:2],
            spender("s1", d(1, "12:00"), 150),
            *TWO_LOTS[2:],
            Then(available=50, debt=0, lots={LOT2: {"available": 50}}),  # day 2's lot paid 50
            refunded("s1", d(5), "100"),
            Then(available=125, lots={LOT1: {"available": 25}, LOT2: {"available": 100}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "what_comes_back_pays_other_debts",
        [
            *TWO_LOTS[:2],
            spender("s1", d(2), 100),
            spender("s2", d(3), 30),
            Then(debt=30),
            refunded("s1", d(5), "200"),
            Then(debt=0, available=70, orders={"s2": {"owed": 0}}, lots={LOT1: {"available": 70}}),
            refunded("s2", d(6), "200"),
            Then(available=100, lots={LOT1: {"available": 100}}),  # the 30 were day 1's
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "a_redemption_goes_back_in_reverse_order",
        [
            *TWO_LOTS,
            redeem(d(3), 150),  # 100 of day 1's lot, 50 of day 2's
            Then(available=50, redeemed=150, lots={LOT1: {"available": 0}, LOT2: {"available": 50}}),
            give_back(d(4), 70),  # 50 to day 2's, 20 to day 1's
            Then(
                available=120,
                redeemed=150,
                returned=70,
                lots={LOT1: {"available": 20}, LOT2: {"available": 100}},
                redemptions={"r1": {"points": 150, "returned": 70}},
            ),
            give_back(d(5)),
            Then(available=200, returned=150, redemptions={"r1": {"returned": 150}}),
        ],
        SPENDING,
    ),
    Case(
        "P3",
        "no_more_of_a_redemption_than_is_left",
        [
            *HUNDRED,
            redeem(d(6), 60),
            redeem(d(6), 10),
            give_back(d(7), 50),
            give_back(d(7), 11),
            give_back(d(7), 0),
            give_back(d(7)),
            give_back(d(7)),
            give_back(d(7), reference="r9"),
            hold(d(8), 100, reference="r1"),  # a hold's references are others
            Then(
                available=0,
                held=100,
                redeemed=60,
                returned=60,
                outcomes=[
                    ("o1:paid:0", "booked"),
                    ("o1:completed", "booked"),
                    ("Redeem r1", "booked"),
                    ("Redeem r1", "reference_used"),
                    ("GiveBack r1", "booked"),
                    ("GiveBack r1", "more_than_left"),
                    ("GiveBack r1", "points_not_positive"),
                    ("GiveBack r1", "booked"),
                    ("GiveBack r1", "more_than_left"),
                    ("GiveBack r9", "redemption_unknown"),
                    ("Hold r1", "booked"),
                ],
            ),
        ],
        SPENDING,
    ),
]

P4 = [
    Case(
        "P4",
        "grace_is_counted_from_the_day_of_the_return",
        [
            *EXPIRED_AND_BACK,
            Then(available=100, lots={GRACE_LOT: {"available": 100}}),  # 9 April + 30 days
            until(d(70, "23:59:59")),
            Then(available=100),
            until(d(71, "00:00")),
            Then(available=0, lots={GRACE_LOT: {"expired": 100}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "or_it_expires_at_once",
        [
            *EXPIRED_AND_BACK,
            Then(available=0, expired=100, returned=100, lots={MARCH_LOT: {"expired": 100}}),
        ],
        program(["purchase"], rule=NO_SERVICE, points={"expiry": MONTH, "refund": AT_ONCE}),
    ),
    Case(
        "P4",
        "what_was_in_grace_once_gets_no_other",
        [
            *EXPIRED_AND_BACK,
            spender("s2", d(45), 100),
            Then(available=0),
            refunded("s2", d(75), "200"),
            Then(available=0, debt=0, expired=100, lots={GRACE_LOT: {"expired": 100}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "returns_of_one_day_share_a_grace_lot",
        [
            *EXPIRED_AND_BACK[:2],
            spender("s1", d(10), 60),
            spender("s2", d(11), 40),
            refunded("s1", d(40, "10:00"), "200"),
            refunded("s2", d(40, "11:00"), "100"),
            refunded("s2", d(41, "10:00"), "100", refund="r2"),
            Then(lots={GRACE_LOT: {"available": 80}, ("2026-05-10", "2026-04-01"): {"available": 20}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "a_return_to_a_lot_that_lives_goes_there",
        [*EXPIRED_AND_BACK[:3], refunded("s1", d(32, "23:59:59"), "200"), Then(lots={MARCH_LOT: {"available": 100}})],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "a_redemption_of_an_expired_lot_has_grace_once",
        [
            *HUNDRED,
            redeem(d(10), 100),
            give_back(d(40)),  # 9 April, and 30 days
            Then(available=100, lots={("2026-05-09", "2026-04-01"): {"available": 100}}),
            redeem(d(45), 100, reference="r2"),
            give_back(d(75), reference="r2"),
            Then(available=0, expired=100, returned=200, lots={("2026-05-09", "2026-04-01"): {"expired": 100}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P4",
        "a_grace_lot_is_one_also_with_another_member",
        [
            receive(d(40), ("2026-04-15", "2026-04-01", 50)),
            redeem(d(41), 50),
            give_back(d(47)),  # 15 April, day 46, is over, and it gets no other grace
            Then(available=0, expired=50, lots={("2026-04-15", "2026-04-01"): {"expired": 50}}),
        ],
        SPENDING_MONTH,
    ),
]

P7 = [
    Case(
        "P7",
        "named_when_all_is_covered_it_returns_as_a_whole",
        [
            *TWO_LOTS,
            spender("s1", d(3), 100),  # day 1's lot
            redeem(d(3, "10:01"), 60),
            spender("s1", d(3, "10:02"), 100, revision=1, redemption="r1"),
            Then(available=100, redeemed=100, lots={LOT2: {"available": 100}}, redemptions={"r1": {"surplus": 60}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "two_orders_that_name_one_redemption_use_what_they_say_in_all",
        [
            *TWO_LOTS,
            redeem(d(3), 150),
            spender("s1", d(3, "10:05"), 40, redemption="r1"),  # 110 come back: 50 to day 2's lot, 60 to day 1's
            Then(available=160, redeemed=40, lots={LOT1: {"available": 60}, LOT2: {"available": 100}}),
            spender("s2", d(3, "10:06"), 70, redemption="r1"),  # 60 and 10 of these
            Then(available=90, redeemed=110, lots={LOT1: {"available": 0}, LOT2: {"available": 90}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "an_order_that_uses_no_points_returns_its_redemption",
        [
            *TWO_LOTS,
            redeem(d(3), 150),
            spender("s1", d(3, "10:05"), 0, redemption="r1"),
            Then(available=200, redeemed=0, redemptions={"r1": {"surplus": 150}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_is_beyond_pays_debt",
        [
            *TWO_LOTS,
            redeem(d(3), 200),
            spender("s2", d(3, "10:01"), 30),
            Then(available=0, debt=30),
            spender("s1", d(3, "10:05"), 120, redemption="r1"),  # 80 come back, 30 pay
            Then(available=50, debt=0, redeemed=150, orders={"s2": {"owed": 0}}, lots={LOT2: {"available": 50}}),
        ],
        SPENDING,
    ),
    Case(
        "P7",
        "what_is_beyond_has_grace_where_its_lot_is_over",
        [
            *HUNDRED,
            redeem(d(10), 100),
            spender("s1", d(40), 60, redemption="r1"),  # 9 April, and 30 days
            Then(available=40, redeemed=60, lots={GRACE_LOT: {"available": 40}}),
            cancelled("s1", d(40, "11:00")),
            Then(available=100, lots={GRACE_LOT: {"available": 100}}),
        ],
        SPENDING_MONTH,
    ),
    Case(
        "P7",
        "a_cancelled_order_returns_all_of_its_redemption",
        [
            *TWO_LOTS,
            redeem(d(3), 150),
            cancelled("s1", d(3, "10:06")),
            late(spender("s1", d(3, "10:05"), 100, redemption="r1"), d(3, "10:07")),
            Then(available=200, redeemed=100, returned=100, redemptions={"r1": {"surplus": 50}}),
        ],
        SPENDING,
    ),
]

CASES = [*E6, *P3, *P4, *P7]
