"""N2, N6, B1, B2, D4, R9: campaigns, birthdays, days made up, referrals."""

from __future__ import annotations

from typing import Any

from tests.model.commands import MakeUp, Referred
from tests.model.days import instant
from tests.model.events import Event, completed, d, line, paid, part, profile, refunded, registered, signed_in, tier
from tests.model.program import Program, program
from tests.model.table.case import Case, Step, Then, late, until

SENIOR = tier([(d(-9), "senior")], version=1)
FLAT = {"mode": "whole", "steps": [{"rate": "1"}]}


def campaign(multiplier: str, name: str = "member-day", **more: Any) -> dict[str, Any]:
    """A campaign of days 1 to 9."""
    dated = {"from": d(1, "00:00"), "to": d(10, "00:00"), "multiplier": multiplier}
    return {"rule": name, "on": "order", "campaign": dated | more}


def birthday(when: str = "birthday_month", multiplier: str = "2", **more: Any) -> dict[str, Any]:
    return {"rule": "birthday", "on": "order", "when": when, "multiplier": multiplier, **more}


def stacking(how: str, *rules: dict[str, Any]) -> Program:
    """One point a unit, 1.1 for seniors, and these multipliers."""
    return program(["purchase"], rule={"purchase": {"bands": FLAT, "stacking": how}}, more=rules)


def earns(code: str, name: str, points: int, given: Program, *steps: Step, at: str | None = None) -> Case:
    """What an order of ¥100.50 earns."""
    return Case(code, name, [*steps, paid("o1", at or d(2), "100.50"), Then(pending=points)], given, "given")


TRIPLE = campaign("3", "tripled")
N2 = [
    earns("N2", "multiply", 221, stacking("multiply", campaign("2")), SENIOR),  # 100.50 x 1.1 x 2 = 221.1
    earns("N2", "multiply_all", 663, stacking("multiply", campaign("2"), TRIPLE), SENIOR),  # 221.1 x 3 = 663.3
    earns("N2", "add", 211, stacking("add", campaign("2")), SENIOR),  # 100.50 x (1 + 0.1 + 1) = 211.05
    earns("N2", "add_all", 412, stacking("add", campaign("2"), TRIPLE), SENIOR),  # x (1 + 0.1 + 1 + 2) = 412.05
    earns("N2", "add_what_takes", 60, stacking("add", campaign("0.5")), SENIOR),  # x (1 + 0.1 - 0.5) = 60.3
    earns("N2", "max", 201, stacking("max", campaign("2")), SENIOR),  # 100.50 x 2
    earns("N2", "max_of_all", 301, stacking("max", TRIPLE, campaign("2")), SENIOR),  # 100.50 x 3 = 301.5
    earns("N2", "max_may_be_the_tier", 110, stacking("max", campaign("1.05")), SENIOR),  # 100.50 x 1.1 = 110.55
    earns("N2", "from_its_first_instant", 201, stacking("max", campaign("2")), at=d(1, "00:00")),
    earns("N2", "not_before", 100, stacking("max", campaign("2")), at=d(0, "23:59:59")),
    earns("N2", "until_its_last_instant", 201, stacking("max", campaign("2")), at=d(9, "23:59:59")),
    earns("N2", "and_no_longer", 100, stacking("max", campaign("2")), at=d(10, "00:00")),
]

GOODS_AND_CHANNELS = [
    earns("N2", "not_in_another_channel", 100, stacking("max", campaign("2", channels=["app"]))),
    Case(
        "N2",
        "in_its_channel",
        [paid("o1", d(2), "100.50", channel="app"), Then(pending=201)],
        stacking("max", campaign("2", channels=["app"])),
    ),
    Case(
        "N2",
        "of_its_goods_alone_and_rounded_once",
        [
            # 50.50 x 2 + 50.50 = 151.5; confirmed of the first alone floor(101.0), of the second the rest
            paid("o1", d(2), [line("l1", "50.50", category="shoes"), line("l2", "50.50")]),
            Then(pending=151),
            completed("o1", d(5), [part("l2")]),
            Then(available=50, pending=101),
            completed("o1", d(6)),
            Then(available=151, pending=0),
            refunded("o1", d(7), [part("l1", "50.50")]),
            Then(available=50),
        ],
        stacking("multiply", campaign("2", include={"categories": ["shoes"]})),
    ),
]

BUDGET = stacking("multiply", campaign("2", budget=150))
N6 = [
    Case(
        "N6",
        "what_it_gives_ends_when_it_is_spent",
        [
            paid("o1", d(2), "100"),
            Then(pending=200, rules={"purchase": 100, "member-day": 100}),
            paid("o2", d(3), "100"),
            Then(pending=350, rules={"purchase": 200, "member-day": 150}),
            paid("o3", d(4), "100"),
            Then(pending=450, rules={"purchase": 300, "member-day": 150}),
        ],
        BUDGET,
    ),
    Case(
        "N6",
        "a_refund_frees_it",
        [
            paid("o1", d(2), "100"),
            paid("o2", d(3), "100"),
            refunded("o1", d(4), "80"),
            # 20 for the goods left and 20 by the campaign; of its 150 the other order has its 100
            Then(pending=120 + 120, rules={"purchase": 120, "member-day": 120}),
        ],
        BUDGET,
    ),
    Case(
        "N6",
        "whatever_came_first_it_gives_no_more",
        [
            paid("o2", d(3), "100"),
            late(paid("o1", d(2), "100"), d(4)),
            Then(pending=350, rules={"purchase": 200, "member-day": 150}),
        ],
        BUDGET,
    ),
    Case(
        "N6",
        "after_tier_and_the_rest",
        [SENIOR, paid("o1", d(2), "100.50"), Then(pending=221, rules={"purchase": 110, "member-day": 111})],
        BUDGET,
        "given",
    ),
]


def born(date: str | None, at: str = d(-90)) -> Event:
    return profile(at, birthday=date)


MONTH, DAY_ITSELF = stacking("multiply", birthday()), stacking("multiply", birthday("birthday"))
MARCH_1 = stacking("multiply", birthday("birthday", feb29="mar1"))
LEAPLING = born("1992-02-29")
FEB_28, MAR_1 = "2026-02-28T10:00:00+08:00", "2026-03-01T10:00:00+08:00"

B1 = [
    earns("B1", "29_february_is_kept_on_the_28th", 201, DAY_ITSELF, LEAPLING, at=FEB_28),
    earns("B1", "and_not_on_1_march", 100, DAY_ITSELF, LEAPLING, at=MAR_1),
    earns("B1", "or_it_is_kept_on_1_march", 201, MARCH_1, LEAPLING, at=MAR_1),
    earns("B1", "and_not_on_the_28th", 100, MARCH_1, LEAPLING, at=FEB_28),
]

B2 = [
    earns("B2", "all_of_its_month", 201, MONTH, born("1990-03-31"), at=d(1, "00:00")),
    earns("B2", "to_the_end_of_its_month", 201, MONTH, born("1990-03-01"), at=d(31, "23:59:59")),
    earns("B2", "not_the_month_after", 100, MONTH, born("1990-03-31"), at=d(32, "00:00")),
    earns("B2", "its_day_alone", 201, DAY_ITSELF, born("1990-03-05"), at=d(5, "23:59:59")),
    earns("B2", "and_not_the_next", 100, DAY_ITSELF, born("1990-03-05"), at=d(6, "00:00")),
    # 2 February to 4 March are 30 days
    earns("B2", "entered_30_days_before", 201, DAY_ITSELF, born("1990-03-04", d(-26)), at=d(4)),
    earns("B2", "entered_29_days_before_it_does_not_count", 100, DAY_ITSELF, born("1990-03-03", d(-26)), at=d(3)),
    earns("B2", "deleted_it_is_none", 100, MONTH, born("1990-03-05"), born(None, d(-9)), at=d(5)),
    Case(
        "B2",
        "a_changed_birthday_gives_no_second_one",
        [
            born("1990-03-05"),
            paid("o1", d(5), "100"),
            Then(pending=200),
            born("1990-04-20", d(6)),  # 45 days before
            paid("o2", d(51), "100"),  # 20 April
            Then(available=200, pending=100),
        ],
        DAY_ITSELF,
        "given",
    ),
    Case(
        "B2",
        "a_birthday_changed_or_deleted_once_its_month_began_keeps_it",
        [
            born("1990-03-31"),
            born("1990-05-20", d(1, "00:00")),
            paid("o1", d(2), "100"),
            born(None, d(3)),
            paid("o2", d(4), "100"),
            paid("o3", d(81), "100"),  # 20 May
            Then(available=400, pending=100),
        ],
        MONTH,
        "given",
    ),
    Case(
        "B2",
        "an_order_paid_before_it_was_entered_has_none",
        [
            late(born("1990-03-31", d(1)), d(3)),  # 30 days before
            paid("o1", d(1), "100"),
            paid("o2", d(1, "10:00:00.000001"), "100"),
            Then(pending=100 + 200),
        ],
        MONTH,
        "given",
    ),
    Case(
        "B2",
        "a_birthday_changed_before_it_came_is_the_new_one",
        [
            born("1990-04-20"),
            born("1990-04-25", d(6)),
            paid("o1", d(51), "100"),
            paid("o2", d(56), "100"),
            Then(pending=300),
        ],
        DAY_ITSELF,
        "given",
    ),
]

MADE_UP = program(["sign-in"], rule={"sign-in": {"streak": {3: 10}, "make_up": {"cost": 4, "within_days": 2}}})
TWO_OF_THREE: list[Step] = [signed_in(d(1)), signed_in(d(3))]


def make_up(at: str, day: str) -> MakeUp:
    return MakeUp(instant(at), day)


D4 = [
    Case(
        "D4",
        "a_missed_day_restarts_the_streak",
        [*TWO_OF_THREE, signed_in(d(4)), Then(available=15), signed_in(d(5)), Then(available=30)],  # 3, 4 and 5
        MADE_UP,
    ),
    Case(
        "D4",
        "a_missed_day_can_be_bought",
        [
            *TWO_OF_THREE,
            make_up(d(3, "11:00"), "2026-03-02"),
            # 5 + 5 - 4, and the streak of 3 is reached on day 3: 10
            Then(available=16, redeemed=4, earned=20, lots={("2027-03-03", None): {"available": 15}}),
        ],
        MADE_UP,
    ),
    Case(
        "D4",
        "once_and_in_time_and_if_it_was_missed",
        [
            *TWO_OF_THREE,
            make_up(d(3, "11:00"), "2026-03-01"),
            make_up(d(3, "11:00"), "2026-03-03"),
            make_up(d(3, "11:00"), "2026-02-28"),
            make_up(d(3, "11:00"), "2026-03-02"),
            make_up(d(4, "11:00"), "2026-03-02"),
            make_up(d(6, "11:00"), "2026-03-04"),
            make_up(d(6, "11:00"), "2026-03-05"),
            make_up(d(9, "11:00"), "2026-03-08"),
            make_up(d(9, "11:00"), "2026-03-07"),
            make_up(d(10, "11:00"), "2026-03-09"),
            Then(
                # 5 + 5 + 10 - 5 x 4: days 4, 5, 7 and 8 reach no step
                available=0,
                outcomes=[
                    (f"signed-in:{d(1)}", "booked"),
                    (f"signed-in:{d(3)}", "booked"),
                    ("MakeUp 2026-03-01", "day_not_missed"),
                    ("MakeUp 2026-03-03", "day_out_of_reach"),
                    ("MakeUp 2026-02-28", "day_out_of_reach"),
                    ("MakeUp 2026-03-02", "booked"),
                    ("MakeUp 2026-03-02", "day_not_missed"),
                    ("MakeUp 2026-03-04", "booked"),
                    ("MakeUp 2026-03-05", "booked"),
                    ("MakeUp 2026-03-08", "booked"),
                    ("MakeUp 2026-03-07", "booked"),
                    ("MakeUp 2026-03-09", "insufficient_points"),
                ],
            ),
        ],
        MADE_UP,
    ),
    Case(
        "D4",
        "not_where_it_is_not_offered",
        [
            signed_in(d(1)),
            make_up(d(3), "2026-03-02"),
            Then(
                available=5,
                outcomes=[(f"signed-in:{d(1)}", "booked"), ("MakeUp 2026-03-02", "make_up_not_offered")],
            ),
        ],
        program(["sign-in"]),
    ),
    Case(
        "D4",
        "a_late_sign_in_of_a_bought_day_has_its_reward_all_the_same",
        [
            *TWO_OF_THREE,
            make_up(d(3, "11:00"), "2026-03-02"),
            late(signed_in(d(2)), d(3, "12:00")),
            Then(available=21, redeemed=4),
        ],
        MADE_UP,
    ),
]

REFERRAL = program(["purchase"], more=[{"rule": "referral", "on": "referral", "referrer": 100, "referred": 50}])

REFERRED = [
    Case(
        "R9",
        "who_was_referred_has_points_while_a_first_order_stands",
        [
            registered(d(1), referred_by="m2"),
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
        "R9",
        "nobody_refers_oneself",
        [registered(d(1), referred_by="m1"), paid("o1", d(2), "100"), completed("o1", d(3)), Then(available=100)],
        REFERRAL,
    ),
    Case(
        "R9",
        "and_whoever_names_oneself_has_named_nobody",
        [
            registered(d(1), referred_by="m1"),
            profile(d(2), referred_by="m2"),
            paid("o1", d(3), "100"),
            completed("o1", d(4)),
            Then(available=150),
        ],
        REFERRAL,
    ),
    Case(
        "R9",
        "who_referred_has_points_while_it_stands_there",
        [
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

BY_PAID_TIME = Case(
    "N6",
    "it_goes_by_paid_time_whatever_came_first",
    [
        paid("o2", d(3), "100"),
        late(paid("o1", d(2), "100"), d(4)),
        Then(
            lots={("2027-03-02", None): {"pending": 200}, ("2027-03-03", None): {"pending": 150}},
            rules={"member-day": 150},
        ),
    ],
    BUDGET,
)
"""Of the model alone: over all members nobody knows that order, so the ledger goes by who asks first."""

CASES = [*N2, *GOODS_AND_CHANNELS, *N6, *B1, *B2, *D4, *REFERRED]
