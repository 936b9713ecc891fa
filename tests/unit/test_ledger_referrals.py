"""Both sides of a referral, each on its own account, with figures computed by hand."""

from __future__ import annotations

from itertools import permutations

from services.kit.calendar import NOT_YET
from services.ledger.domain.state.account import NO_PROGRAM
from services.ledger.domain.state.inputs import ProfileUpdated
from services.ledger.domain.state.messages import ReferralReceived
from services.ledger.domain.state.outcome import Referral
from tests.model.days import instant
from tests.model.events import Event, cancelled, completed, d, paid, profile, registered
from tests.model.program import Program, program
from tests.unit.ledger_member import MemoryLedger


def with_referral() -> Program:
    made = program(["purchase"])
    made["earn"] = [*made["earn"], {"rule": "referral", "on": "referral", "referrer": 100, "referred": 50}]
    return made


def ledger_after(document: Program, *events: Event) -> MemoryLedger:
    """The ledger of the referred member after events, each arriving as it stands in the list."""
    ledger, now = MemoryLedger(document, tiers="received"), NOT_YET
    for event in events:
        now = max(now, instant(event["time"]))
        ledger.tick(now)
        ledger.arrive(event, now)
    return ledger


def referrals(ledger: MemoryLedger) -> list[Referral]:
    """What goes out to referrers, in order."""
    return [each for row in ledger.journal for each in row.outcome.referrals]


BORN = registered(d(1), referred_by="friend")
BOUGHT = [paid("o1", d(2), "100"), completed("o1", d(3))]
STANDS = Referral("friend", instant(d(3)), 1)


def test_a_referred_member_has_its_points_with_its_first_successful_order() -> None:
    ledger = ledger_after(with_referral(), BORN, *BOUGHT)
    assert ledger.account.available == 150
    assert referrals(ledger) == [STANDS]
    another = [paid("o2", d(4), "100"), completed("o2", d(5))]
    assert ledger_after(with_referral(), BORN, *BOUGHT, *another).account.available == 250


def test_O6_a_referral_does_not_depend_on_what_is_told_first() -> None:
    for events in permutations([BORN, *BOUGHT]):
        ledger = ledger_after(with_referral(), *events)
        assert ledger.account.available == 150
        assert referrals(ledger)[-1] == STANDS


def test_R9_both_sides_go_when_no_successful_order_is_left() -> None:
    ledger = ledger_after(with_referral(), BORN, *BOUGHT, cancelled("o1", d(6)))
    assert ledger.account.available == 0
    assert referrals(ledger) == [STANDS, Referral("friend", NOT_YET, NO_PROGRAM)]


def test_a_success_that_falls_due_and_is_undone_by_the_same_input_is_told_once() -> None:
    # It would have been completed on 18 March at 00:00, and was cancelled before; that is known on the 20th.
    late = cancelled("o1", d(10))
    ledger = MemoryLedger(with_referral(), tiers="received")
    for event in (BORN, BOUGHT[0]):
        ledger.arrive(event, instant(event["time"]))
    ledger.arrive(late, instant(d(20)))
    assert (referrals(ledger), ledger.account.available) == ([Referral("friend", NOT_YET, NO_PROGRAM)], 0)


def test_who_is_told_first_to_have_referred_a_member_did() -> None:
    later = profile(d(4), referred_by="other")
    assert referrals(ledger_after(with_referral(), BORN, later, *BOUGHT)) == [STANDS]
    # An earlier report that arrives late: the friend's account hears that the referral does not stand.
    both = referrals(ledger_after(with_referral(), later, *BOUGHT, BORN))
    assert both == [Referral("other", instant(d(3)), 1), Referral("other", NOT_YET, NO_PROGRAM), STANDS]
    assert ledger_after(with_referral(), later, *BOUGHT, BORN).account.available == 150


def test_nobody_refers_himself_and_nothing_is_kept_where_no_rule_asks() -> None:
    assert ledger_after(with_referral(), registered(d(1), referred_by="m1"), *BOUGHT).account.available == 100
    unneeded = ledger_after(program(["purchase"]), BORN, *BOUGHT)
    input_ = unneeded.journal[0].arrival.input_
    assert isinstance(input_, ProfileUpdated)
    assert (input_.referred_by, unneeded.account.available) == ("", 100)


def test_a_referrer_has_its_points_once_a_member_and_loses_them_with_its_orders() -> None:
    ledger = MemoryLedger(with_referral(), tiers="received")

    def receive(member: str, seen: int, program: int = 1) -> str:
        at = instant(d(3))
        return ledger.do(ReferralReceived("/loyalty/ledger", f"{member}:{seen}", at, member, program, seen), at)

    assert receive("m2", 2) == "booked"
    assert receive("m2", 2) == "known"
    assert receive("m3", 5) == "booked"
    assert ledger.account.available == 200
    assert receive("m2", 7, program=0) == "booked"
    # What was said before that comes late.
    assert receive("m2", 6) == "known"
    assert ledger.account.available == 100
    [entry] = [each for row in ledger.journal[-2:-1] for each in row.outcome.entries]
    assert (entry.kind, entry.points, entry.ref) == ("clawed_back", 100, "referral:m2")
