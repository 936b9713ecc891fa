"""N: what an order earns; caps; explanations. D: days, sign-ins, profile."""

from __future__ import annotations

from fractions import Fraction

from tests.model.events import (
    Event,
    completed,
    d,
    favourite,
    game,
    gift_card,
    line,
    paid,
    profile,
    refunded,
    registered,
    review,
    review_removed,
    signed_in,
    tier,
)
from tests.model.program import Program, program
from tests.model.table.case import PURCHASE, Case, Step, Then, entry, late, order

BANDS = PURCHASE["earn"][0]["bands"]


def earns(name: str, amount: str, points: int, given: Program = PURCHASE, at_tier: str = "none") -> Case:
    """A completed order of one line, by a member of that tier."""
    known: list[Step] = [] if at_tier == "none" else [tier([(d(-9), at_tier)], version=1)]
    steps = [*known, paid("o1", d(1), amount), completed("o1", d(5)), Then(earned=points, available=points)]
    return Case("N1", name, steps, given, "given")


def with_bands(mode: str, steps: list[dict[str, object]]) -> Program:
    return program(["purchase"], rule={"purchase": {"bands": {"mode": mode, "steps": steps}}})


def rounding(how: str) -> Program:
    return program(["purchase"], points={"rounding": how})


N1 = [
    earns("below_the_first_edge", "199.99", 199),  # 199.99 x 1 = 199.99
    earns("both_edges_are_in_the_middle_band_200", "200", 300),  # 200 x 1.5
    earns("both_edges_are_in_the_middle_band_800", "800", 1200),  # 800 x 1.5
    earns("just_above_the_upper_edge", "800.01", 1600),  # 800.01 x 2 = 1600.02
    earns("whole_band", "801", 1602),  # 801 x 2
    earns("marginal_band", "801", 1102, with_bands("marginal", BANDS["steps"])),  # 200 + 600 x 1.5 + 1 x 2
    earns("senior_below_the_edge", "199.99", 219, at_tier="senior"),  # 199.99 x 1.1 = 219.989
    earns("senior_at_the_edge", "200", 330, at_tier="senior"),  # 200 x 1.5 x 1.1
    earns("vip", "800.01", 1920, at_tier="vip"),  # 800.01 x 2 x 1.2 = 1920.024
    earns("supreme", "801", 2403, at_tier="supreme"),  # 801 x 2 x 1.5
    earns("fixed_rate", "399.90", 399, with_bands("whole", [{"rate": "1"}])),
    earns("half_up_rounds_a_half_up", "0.50", 1, rounding("half_up")),
    earns("half_up_rounds_less_down", "0.49", 0, rounding("half_up")),
    earns("half_up_after_all_multipliers", "199.99", 220, rounding("half_up"), "senior"),  # 219.989
    earns("ceil_rounds_up", "199.01", 200, rounding("ceil")),
    earns("below_the_minimum_spend", "99.99", 0, program(["purchase"], rule={"purchase": {"min_spend": "100"}})),
    earns("at_the_minimum_spend", "100", 100, program(["purchase"], rule={"purchase": {"min_spend": "100"}})),
    Case(
        "N1",
        "rounds_once_an_order_not_once_a_line",
        [
            paid("o1", d(1), [line(f"l{i}", "33.60") for i in range(3)]),
            completed("o1", d(5)),
            Then(earned=100),  # 3 x 33.60 = 100.80 -> 100, not 3 x 33
        ],
        PURCHASE,
    ),
]

REVIEWS = program(["review"])
CAPPED_ORDERS = program(["purchase"], rule={"purchase": {"cap": {"per": "day", "points": 2000}}})

N3 = [
    Case(
        "N3",
        "a_removed_review_frees_the_cap_for_the_others",
        [
            *[review(f"v{i}", d(1, f"1{i}:00")) for i in range(4)],
            Then(earned=60, rules={"review": 60}),  # min(60, 4 x 20)
            review_removed("v0", d(2)),
            Then(earned=60),  # min(60, 3 x 20): nothing is taken
            review_removed("v1", d(2)),
            Then(earned=40, lots={("2027-03-01", None): {"available": 40}}),  # 2 x 20, of the day's lot
        ],
        REVIEWS,
    ),
    Case(
        "N3",
        "a_cap_is_a_day_s",
        [
            *[review(f"v{i}", d(1, f"1{i}:00")) for i in range(4)],
            review("v9", d(2)),
            Then(earned=80),  # 60 + 20
        ],
        REVIEWS,
    ),
    Case(
        "N3",
        "where_another_version_begins_during_a_day_each_has_its_cap",
        [
            *[
                review(f"v{i}", d(5, f"1{i}:00")) for i in range(4)
            ],  # two before noon: 40; two after it: min(30, 2 x 20)
            Then(earned=70, lots={("2027-03-05", None): {"available": 40}, ("2028-03-05", None): {"available": 30}}),
            review_removed("v3", d(6)),
            Then(earned=60, lots={("2027-03-05", None): {"available": 40}, ("2028-03-05", None): {"available": 20}}),
        ],
        [
            REVIEWS,
            program(
                ["review"],
                rule={"review": {"cap": {"per": "day", "points": 30}}},
                points={"expiry": {"kind": "rolling", "months": 24}},
                version="2026.2",
                effective_from=d(5, "12:00"),
            ),
        ],
    ),
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
    Case(
        "N3",
        "favourites",
        [*[favourite(f"f{i}", d(1, f"1{i}:00")) for i in range(6)], Then(earned=10)],  # min(10, 6 x 2)
        program(["favourite"]),
    ),
    Case(
        "N3",
        "games_by_unit",
        [
            game("g1", d(1, "10:00"), 15),
            Then(earned=15),
            game("g2", d(1, "11:00"), 10),
            Then(earned=20),  # min(20, 15 + 10): the second books 5
            game("g3", d(2, "11:00"), 7),
            Then(earned=27),
        ],
        program(["game"]),
    ),
    Case(
        "N3",
        "orders_of_a_day_share_a_pool",
        [
            paid("o1", d(1, "10:00"), "900"),
            paid("o2", d(1, "11:00"), "900"),
            Then(pending=2000, available=0),  # min(2000, 1800 + 1800); confirmed min(2000, 0)
            completed("o1", d(3)),
            Then(pending=200, available=1800),  # confirmed min(2000, 1800)
            completed("o2", d(4)),
            Then(pending=0, available=2000),  # confirmed min(2000, 3600)
            refunded("o1", d(5), "900"),
            Then(available=1800, debt=0),  # min(2000, 1800): the refund takes 200 of its 1,800
            refunded("o2", d(6), "800"),
            Then(available=100),  # 100 x 1
        ],
        CAPPED_ORDERS,
    ),
    Case(
        "N3",
        "a_true_up_fills_the_pool_no_further",
        [
            paid("o1", d(1), "900"),
            Then(pending=1800),
            late(tier([(d(0), "supreme")], version=1), d(2)),
            Then(pending=2000, rules={"purchase": 1800, "tier-true-up": 200}),  # min(2000, 900 x 2 x 1.5)
        ],
        CAPPED_ORDERS,
        "given",
    ),
]

N4 = [
    Case(
        "N4",
        "an_order_shows_its_working",
        [
            tier([(d(-9), "senior")], version=1),
            paid("o1", d(1), "199.99"),
            Then(
                orders=order(
                    working=(
                        {
                            "rule": "purchase",
                            "version": "2026.1",
                            "tier": "senior",
                            "amount": Fraction("199.99"),
                            "rate": Fraction(1),
                            "multiplier": Fraction("1.1"),
                            "exact": Fraction("219.989"),
                            "points": 219,
                        },
                    )
                )
            ),
        ],
        PURCHASE,
        "given",
    ),
]

N5 = [
    Case(
        "N5",
        "band_and_rate_look_at_eligible_lines_alone",
        [
            paid("o1", d(1), [line("l1", "500"), gift_card("l2", "400")]),
            completed("o1", d(5)),
            # 500 x 1.5: not the band of 900, and nothing for the gift card
            Then(earned=750, orders=order(timeline=[entry(d(5), "500", 1)])),
        ],
        PURCHASE,
    ),
    Case(
        "N5",
        "an_excluded_article",
        [
            paid("o1", d(1), [line("l1", "100"), line("l2", "100", sku="sample")]),
            completed("o1", d(5)),
            Then(earned=100),
        ],
        program(["purchase"], rule={"purchase": {"exclude": {"categories": [], "skus": ["sample"]}}}),
    ),
]

SIGN_IN = program(["sign-in"])
TWO_DAYS = program(["sign-in"], rule={"sign-in": {"streak": {2: 10}}})
NEW_YORK = program(["sign-in"], rule={"sign-in": {"streak": {2: 10}}}, timezone="America/New_York")


def days(first: int, last: int) -> list[Event]:
    return [signed_in(d(day)) for day in range(first, last + 1)]


D = [
    Case(
        "D1",
        "a_day_is_the_program_s_local_date",
        [
            # 16:30 in UTC on 1 March is half past midnight on 2 March in Shanghai
            signed_in("2026-03-01T16:30:00+00:00"),
            Then(earned=5, lots={("2027-03-02", None): {"available": 5}}),
        ],
        SIGN_IN,
    ),
    Case(
        "D2",
        "one_reward_a_day",
        [*[signed_in(d(1, f"{hour}:00")) for hour in (10, 11, 12)], Then(earned=5)],
        SIGN_IN,
    ),
    Case(
        "D3",
        "two_seconds_can_be_two_days",
        [signed_in(d(1, "23:59:59")), signed_in(d(2, "00:00:01")), Then(earned=20)],  # 5 + 5 + the step of 10
        TWO_DAYS,
    ),
    Case(
        "D3",
        "a_day_of_23_hours_is_one_day",
        [
            # the clocks of New York went forward on 8 March 2026
            signed_in("2026-03-07T23:30:00-05:00"),
            signed_in("2026-03-08T00:10:00-05:00"),
            Then(earned=20),  # days 1 and 2 of a run: 5 + 15
            signed_in("2026-03-08T23:50:00-04:00"),
            Then(earned=20),
            signed_in("2026-03-09T00:10:00-04:00"),
            signed_in("2026-03-10T00:10:00-04:00"),
            Then(earned=40),  # days 3 and 4: 5 + 15
        ],
        NEW_YORK,
    ),
    Case(
        "D3",
        "a_day_of_25_hours_is_one_day",
        [
            # the clocks of New York went back on 1 November 2026
            signed_in("2026-11-01T00:10:00-04:00"),
            signed_in("2026-11-01T23:50:00-05:00"),
            Then(earned=5),
            signed_in("2026-11-02T23:50:00-05:00"),
            Then(earned=20),
        ],
        NEW_YORK,
    ),
    Case(
        "D5",
        "a_missed_day_restarts_and_steps_repeat",
        [
            *days(1, 14),
            Then(earned=14 * 5 + 2 * 30),
            *days(16, 21),
            Then(earned=20 * 5 + 2 * 30),  # a run of 6 has no step
            *days(22, 22),
            Then(earned=21 * 5 + 3 * 30),
        ],
        SIGN_IN,
    ),
    Case(
        "D5",
        "late_days_join_two_runs",
        [
            *days(1, 7),
            *days(10, 16),
            Then(earned=14 * 5 + 60, lots={("2027-03-16", None): {"available": 35}}),  # steps on 7 and 16
            late(signed_in(d(8)), d(17)),
            Then(earned=15 * 5 + 60),  # runs of 8 and 7
            late(signed_in(d(9)), d(17, "11:00")),
            Then(
                earned=16 * 5 + 60,  # one run of 16: steps on 7 and 14
                lots={("2027-03-14", None): {"available": 35}, ("2027-03-16", None): {"available": 5}},
                debt=0,
            ),
        ],
        SIGN_IN,
    ),
    Case(
        "D6",
        "due_when_all_fields_are_filled_together",
        [
            registered(d(1), name="Lin", phone="+8613800000000"),
            profile(d(2), email="lin@shop.example"),
            profile(d(3), phone=None),
            profile(d(4), birthday="1990-05-01"),
            Then(earned=0),  # never all four at once
            profile(d(5), phone="+8613800000001"),
            Then(earned=50, lots={("2027-03-05", None): {"available": 50}}),
            profile(d(6), email=None),
            Then(earned=50),  # a later deletion takes nothing
            profile(d(7), email="lin@shop.example"),
            Then(earned=50),  # once a member
        ],
        program(["profile"]),
    ),
    Case(
        "D6",
        "in_order_of_business_times",
        [
            registered(d(1), name="Lin", phone="+8613800000000", email="lin@shop.example"),
            profile(d(5), birthday="1990-05-01"),
            Then(earned=50),
            late(profile(d(3), phone=None), d(6)),
            Then(earned=0, available=0),  # on day 5 the phone was gone
            late(profile(d(4), phone="+8613800000001"), d(6, "11:00")),
            Then(earned=50, lots={("2027-03-05", None): {"available": 50}}),
        ],
        program(["profile"]),
    ),
    Case(
        "D5",
        "every_step_of_a_cycle_and_again",
        [
            *days(1, 10),
            Then(earned=10 * 5 + 10 + 30 + 10),  # days 3 and 7, and day 3 of the next cycle
        ],
        program(["sign-in"], rule={"sign-in": {"streak": {3: 10, 7: 30}}}),
    ),
]

CASES = [*N1, *N3, *N4, *N5, *D]
__all__ = ["CASES"]
