"""N2, B1, B2: campaigns and birthdays multiply what orders earn."""

from __future__ import annotations

from typing import Any

from tests.model.events import Event, completed, d, line, paid, part, profile, refunded, tier
from tests.model.program import Program, program
from tests.model.table.case import Case, HistoryStep, Then, late

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


def earns(code: str, name: str, points: int, programs: Program, *steps: HistoryStep, at: str | None = None) -> Case:
    """What an order of ¥100.50 earns."""
    return Case(code, name, [*steps, paid("o1", at or d(2), "100.50"), Then(pending=points)], programs, "received")


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
        "received",
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
        "received",
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
        "received",
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
        "received",
    ),
]

CASES = [*N2, *B1, *B2]
