"""Z1: what is booked of a member who asked to be forgotten, and from when on."""

from __future__ import annotations

from tests.model.commands import RepairStreak
from tests.model.days import instant
from tests.model.events import activity, completed, d, erased, paid, profile, refunded, registered, review, signed_in
from tests.model.program import program
from tests.model.table.case import PURCHASE, Case, Then, hold, late, receive, redeem, send

EARNING = program(["purchase", "sign-in", "review", "favourite", "joining-gift"])

Z1 = [
    Case(
        "Z1",
        "facts_dated_up_to_the_erasure_book_nothing",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(2)),
            Then(available=1800),  # 900 x 2
            erased(d(5)),
            Then(available=1800),  # what was booked stands
            late(signed_in(d(4)), d(6)),
            late(review("r1", d(4)), d(6)),
            late(activity("favourite", "f1", d(5)), d(6)),  # dated at the very instant
            late(refunded("o1", d(4), "200"), d(6)),
            late(paid("o2", d(3), "100"), d(6)),
            late(completed("o2", d(4)), d(6)),
            late(registered(d(3)), d(6)),
            Then(available=1800, pending=0, earned=1800),
        ],
        EARNING,
    ),
    Case(
        "Z1",
        "facts_dated_after_it_are_booked",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(2)),
            erased(d(5)),
            refunded("o1", d(6), "200"),
            Then(available=1050),  # 700 x 1.5
            signed_in(d(7)),
            Then(available=1055),
        ],
        EARNING,
    ),
    Case(
        "Z1",
        "commands_are_refused_until_the_member_registers_anew",
        [
            paid("o1", d(1), "900"),
            completed("o1", d(2)),
            erased(d(5)),
            hold(d(6), 100),
            redeem(d(6), 100, reference="x1"),
            send(d(6), 100),
            RepairStreak(instant(d(6)), "2026-03-04"),
            profile(d(7), email="lin@shop.example"),  # an update is no registration
            redeem(d(8), 100, reference="x2"),
            Then(available=1800, held=0, redeemed=0),
            registered(d(9)),
            redeem(d(10), 100, reference="x3"),
            Then(available=1700, redeemed=100),
        ],
        PURCHASE,
    ),
    Case(
        "Z1",
        "a_registration_after_the_erasure_counts_whichever_came_first",
        [
            registered(d(9)),
            Then(available=20),  # the joining gift
            late(erased(d(5)), d(10)),
            redeem(d(11), 5, reference="x1"),
            Then(available=15, redeemed=5),
            registered(d(12), id="again"),
            Then(available=15),  # the gift is given once
        ],
        EARNING,
    ),
    Case(
        "Z1",
        "of_two_erasures_the_later_holds",
        [
            erased(d(5)),
            late(erased(d(3)), d(6)),
            late(signed_in(d(4)), d(6)),
            Then(available=0),
            signed_in(d(6)),
            Then(available=5),
        ],
        EARNING,
    ),
    Case(
        "Z1",
        "points_sent_to_the_member_before_still_arrive",
        [
            erased(d(5)),
            receive(d(6), ("2026-12-31", None, 70)),
            Then(available=70),  # else they would stay in transit for ever
        ],
        PURCHASE,
    ),
]

CASES = [*Z1]
