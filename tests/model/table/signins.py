"""D1, D2, D3, D4, D5: sign-ins, streaks, and missed days that are bought."""

from __future__ import annotations

from tests.model.commands import RepairStreak
from tests.model.days import instant
from tests.model.events import Event, d, signed_in
from tests.model.program import program
from tests.model.table.case import Case, HistoryStep, Then, late

SIGN_IN = program(["sign-in"])

TWO_DAYS = program(["sign-in"], rule={"sign-in": {"streak": {2: 10}}})

NEW_YORK = program(["sign-in"], rule={"sign-in": {"streak": {2: 10}}}, timezone="America/New_York")


def days(first: int, last: int) -> list[Event]:
    return [signed_in(d(day)) for day in range(first, last + 1)]


D1_TO_D5 = [
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
        "D5",
        "every_step_of_a_cycle_and_again",
        [
            *days(1, 10),
            Then(earned=10 * 5 + 10 + 30 + 10),  # days 3 and 7, and day 3 of the next cycle
        ],
        program(["sign-in"], rule={"sign-in": {"streak": {3: 10, 7: 30}}}),
    ),
]

REPAIRS = program(["sign-in"], rule={"sign-in": {"streak": {3: 10}, "make_up": {"cost": 4, "within_days": 2}}})

TWO_OF_THREE: list[HistoryStep] = [signed_in(d(1)), signed_in(d(3))]


def repair_streak(at: str, day: str) -> RepairStreak:
    return RepairStreak(instant(at), day)


D4 = [
    Case(
        "D4",
        "a_missed_day_restarts_the_streak",
        [*TWO_OF_THREE, signed_in(d(4)), Then(available=15), signed_in(d(5)), Then(available=30)],  # 3, 4 and 5
        REPAIRS,
    ),
    Case(
        "D4",
        "a_missed_day_can_be_bought",
        [
            *TWO_OF_THREE,
            repair_streak(d(3, "11:00"), "2026-03-02"),
            # 5 + 5 - 4, and the streak of 3 is reached on day 3: 10
            Then(available=16, redeemed=4, earned=20, lots={("2027-03-03", None): {"available": 15}}),
        ],
        REPAIRS,
    ),
    Case(
        "D4",
        "once_and_in_time_and_if_it_was_missed",
        [
            *TWO_OF_THREE,
            repair_streak(d(3, "11:00"), "2026-03-01"),
            repair_streak(d(3, "11:00"), "2026-03-03"),
            repair_streak(d(3, "11:00"), "2026-02-28"),
            repair_streak(d(3, "11:00"), "2026-03-02"),
            repair_streak(d(4, "11:00"), "2026-03-02"),
            repair_streak(d(6, "11:00"), "2026-03-04"),
            repair_streak(d(6, "11:00"), "2026-03-05"),
            repair_streak(d(9, "11:00"), "2026-03-08"),
            repair_streak(d(9, "11:00"), "2026-03-07"),
            repair_streak(d(10, "11:00"), "2026-03-09"),
            Then(
                # 5 + 5 + 10 - 5 x 4: days 4, 5, 7 and 8 reach no step
                available=0,
                outcomes=[
                    (f"signed-in:{d(1)}", "booked"),
                    (f"signed-in:{d(3)}", "booked"),
                    ("RepairStreak 2026-03-01", "day_not_missed"),
                    ("RepairStreak 2026-03-03", "day_out_of_reach"),
                    ("RepairStreak 2026-02-28", "day_out_of_reach"),
                    ("RepairStreak 2026-03-02", "booked"),
                    ("RepairStreak 2026-03-02", "day_not_missed"),
                    ("RepairStreak 2026-03-04", "booked"),
                    ("RepairStreak 2026-03-05", "booked"),
                    ("RepairStreak 2026-03-08", "booked"),
                    ("RepairStreak 2026-03-07", "booked"),
                    ("RepairStreak 2026-03-09", "insufficient_points"),
                ],
            ),
        ],
        REPAIRS,
    ),
    Case(
        "D4",
        "not_where_it_is_not_offered",
        [
            signed_in(d(1)),
            repair_streak(d(3), "2026-03-02"),
            Then(
                available=5,
                outcomes=[(f"signed-in:{d(1)}", "booked"), ("RepairStreak 2026-03-02", "make_up_not_offered")],
            ),
        ],
        program(["sign-in"]),
    ),
    Case(
        "D4",
        "a_late_sign_in_of_a_bought_day_has_its_reward_all_the_same",
        [
            *TWO_OF_THREE,
            repair_streak(d(3, "11:00"), "2026-03-02"),
            late(signed_in(d(2)), d(3, "12:00")),
            Then(available=21, redeemed=4),
        ],
        REPAIRS,
    ),
]

CASES = [*D1_TO_D5, *D4]
