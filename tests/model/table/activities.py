"""O2, N7: an activity earns once for its id, or for what it is about, while it stands."""

from __future__ import annotations

from tests.model.events import activity_withdrawn, d, favourite, game
from tests.model.program import program
from tests.model.table.case import Case, Then, late

O2 = [
    Case(
        "O2",
        "a_favourite_told_twice",
        [favourite("f1", d(5)), favourite("f1", d(6), id="again"), Then(earned=2)],
        program(["favourite"]),
    ),
]

ONCE = program(["favourite"], rule={"favourite": {"once_per": "item"}})
DAY_LOT = {day: (f"2027-03-{day:02}", None) for day in (2, 3, 5)}

N7 = [
    Case(
        "N7",
        "four_favourites_of_one_sku_earn_once_whatever_their_ids",
        [*[favourite(f"f{number}", d(2, f"1{number}:00")) for number in range(4)], Then(earned=2)],
        ONCE,
    ),
    Case(
        "N7",
        "each_thing_earns_and_so_does_the_shop_itself",
        [
            favourite("f1", d(2)),
            favourite("f2", d(2), sku="sku-l2"),
            favourite("f3", d(2), sku=None),
            favourite("f4", d(3), sku=None),
            Then(earned=6),
        ],
        ONCE,
    ),
    Case(
        "N7",
        "once_for_ever_and_the_earliest_has_it",
        [
            favourite("f1", d(5)),
            favourite("f2", d(200)),
            Then(earned=2, lots={DAY_LOT[5]: {"available": 2}}),
            late(favourite("f3", d(195)), d(201)),
            Then(earned=2),
        ],
        ONCE,
    ),
    Case(
        "N7",
        "an_earlier_one_that_comes_late_moves_it",
        [
            favourite("f1", d(5)),
            late(favourite("f2", d(3)), d(6)),
            Then(earned=2, lots={DAY_LOT[3]: {"available": 2}, DAY_LOT[5]: {"available": 0}}),
        ],
        ONCE,
    ),
    Case(
        "N7",
        "an_id_that_is_told_of_another_sku_is_of_the_earlier_told",
        [
            favourite("f1", d(5)),
            favourite("f2", d(5, "11:00")),
            Then(earned=2),
            late(favourite("f1", d(3), sku="sku-l2", id="again"), d(6)),
            Then(earned=4),  # f1 is of sku-l2, f2 is now the first of sku-l1
        ],
        ONCE,
    ),
    Case(
        "N7",
        "withdrawn_it_is_taken_back_and_the_next_one_that_stands_has_it",
        [
            favourite("f1", d(2)),
            favourite("f2", d(5)),
            activity_withdrawn("favourite", "f1", d(6)),
            Then(earned=2, lots={DAY_LOT[2]: {"available": 0}, DAY_LOT[5]: {"available": 2}}),
            activity_withdrawn("favourite", "f2", d(7)),
            Then(earned=0, available=0),
            favourite("f3", d(8)),
            Then(earned=2),
        ],
        ONCE,
    ),
    Case(
        "N7",
        "withdrawn_is_final_also_before_recorded",
        [
            activity_withdrawn("favourite", "f1", d(2)),
            late(favourite("f1", d(1)), d(3)),
            favourite("f1", d(4), id="again"),
            Then(
                earned=0,
                outcomes=[
                    ("favourite:f1:withdrawn", "booked"),
                    ("favourite:f1", "booked"),
                    ("again", "known"),
                ],
            ),
        ],
        ONCE,
    ),
    Case(
        "N7",
        "withdrawn_it_frees_the_cap_for_the_others",
        [
            *[game(f"g{number}", d(2, f"1{number}:00"), 8) for number in range(3)],
            Then(earned=20),  # min(20, 24)
            activity_withdrawn("game", "g0", d(3)),
            activity_withdrawn("game", "g0", d(4), id="again"),
            Then(earned=16),
        ],
        program(["game"]),
    ),
]

CASES = [*O2, *N7]
