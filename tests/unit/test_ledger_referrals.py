"""Both sides of a referral, each on its own account, with figures computed by hand."""

from __future__ import annotations

from itertools import permutations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.calendar import NOT_YET, later
from services.ledger.domain.state.account import NO_PROGRAM
from services.ledger.domain.state.inputs import ProfileUpdated
from services.ledger.domain.state.messages import ReferralAnswered, ReferralReceived
from services.ledger.domain.state.outcome import Referral
from tests.model.commands import Referred
from tests.model.days import DAY, instant
from tests.model.events import Arrival, Event, Timer, cancelled, completed, d, paid, profile, refunded, registered
from tests.model.model import HistoryStep
from tests.model.program import Program, program
from tests.unit.ledger_member import MemoryLedger
from tests.unit.test_fold_properties import compare

RULE = {"rule": "referral", "on": "referral", "referrer": 100, "referred": 50}


def with_referral(**options: object) -> Program:
    return program(["purchase"], more=[RULE | options])


def ledger_after(document: Program, *events: Event) -> MemoryLedger:
    """The ledger of the referred member m1 after events, each arriving as it stands in the list; others answer."""
    ledger, now = MemoryLedger(document, tiers="received"), NOT_YET
    for event in events:
        now = max(now, instant(event["time"]))
        ledger.tick(now)
        ledger.arrive(event, now)
    return ledger


def both(ledger: MemoryLedger, other: str = "friend") -> tuple[int, int]:
    """What m1 and another member have available."""
    return ledger.account.available, ledger.others[other].account.available


def referrals(ledger: MemoryLedger) -> list[Referral]:
    """What goes out to referrers, in order."""
    return [each for row in ledger.journal for each in row.outcome.referrals]


FRIEND = registered(d(0), member="friend")
BORN = registered(d(1), referred_by="friend")
BOUGHT = [paid("o1", d(2), "100"), completed("o1", d(3))]
TOLD = instant(BORN["time"])
STANDS = Referral("friend", instant(d(3)), 1, TOLD)


def test_F4_both_sides_have_their_points_with_the_first_successful_order() -> None:
    ledger = ledger_after(with_referral(), FRIEND, BORN, *BOUGHT)
    assert both(ledger) == (150, 100)
    assert referrals(ledger) == [STANDS]
    another = [paid("o2", d(4), "100"), completed("o2", d(5))]
    assert both(ledger_after(with_referral(), FRIEND, BORN, *BOUGHT, *another)) == (250, 100)


def test_O6_a_referral_does_not_depend_on_what_is_told_first() -> None:
    for events in permutations([FRIEND, BORN, *BOUGHT]):
        ledger = ledger_after(with_referral(), *events)
        assert both(ledger) == (150, 100)
        assert referrals(ledger)[-1] == STANDS


def test_F4_both_sides_go_when_no_successful_order_is_left() -> None:
    ledger = ledger_after(with_referral(), FRIEND, BORN, *BOUGHT, cancelled("o1", d(6)))
    assert both(ledger) == (0, 0)
    assert referrals(ledger) == [STANDS, Referral("friend", NOT_YET, NO_PROGRAM, TOLD)]


def test_a_success_that_falls_due_and_is_undone_by_the_same_input_is_told_once() -> None:
    # It would have been completed on 18 March at 00:00, and was cancelled before; that is known on the 20th.
    late = cancelled("o1", d(10))
    ledger = MemoryLedger(with_referral(), tiers="received")
    for event in (BORN, BOUGHT[0]):
        ledger.arrive(event, instant(event["time"]))
    ledger.arrive(late, instant(d(20)))
    assert (referrals(ledger), ledger.account.available) == ([Referral("friend", NOT_YET, NO_PROGRAM, TOLD)], 0)


def test_F1_who_is_told_first_to_have_referred_a_member_did() -> None:
    later = profile(d(1, "12:00"), referred_by="other")
    other = registered(d(0), member="other")
    assert referrals(ledger_after(with_referral(), FRIEND, other, BORN, later, *BOUGHT)) == [STANDS]
    # An earlier report that arrives late: the other's account hears that the referral does not stand.
    unnamed = registered(d(1, "09:00"), id="unnamed")
    ledger = ledger_after(with_referral(), FRIEND, other, unnamed, later, *BOUGHT)
    assert (*both(ledger), both(ledger, "other")[1]) == (150, 0, 100)
    ledger.arrive(BORN, instant(d(5)))
    assert (*both(ledger), both(ledger, "other")[1]) == (150, 100, 0)
    assert referrals(ledger) == [
        Referral("other", instant(d(3)), 1, instant(later["time"])), Referral("other", NOT_YET, NO_PROGRAM), STANDS,
    ]  # fmt: skip


def test_F1_nobody_refers_himself_and_nothing_is_kept_where_no_rule_asks() -> None:
    assert ledger_after(with_referral(), registered(d(1), referred_by="m1"), *BOUGHT).account.available == 100
    unneeded = ledger_after(program(["purchase"]), BORN, *BOUGHT)
    input_ = unneeded.journal[0].arrival.input_
    assert isinstance(input_, ProfileUpdated)
    assert (input_.referred_by, unneeded.account.available) == ("", 100)


def test_F1_the_ledger_s_own_accounts_refer_nobody() -> None:
    for account in ("reward:mug", "campaign:days:20260301T000000Z"):
        ledger = ledger_after(with_referral(), registered(d(1), referred_by=account), *BOUGHT)
        assert (ledger.account.available, referrals(ledger)) == (100, [])


def test_mend_a07_F2_an_order_that_cost_no_money_pays_neither_side() -> None:
    """An order of ¥0.20, paid wholly by the joining gift of 20 points."""
    document = program(["purchase", "joining-gift"], more=[RULE])
    free = [paid("o1", d(2), "0.20", points_used=20, points_value="0.20"), completed("o1", d(3))]
    assert both(ledger_after(document, FRIEND, BORN, *free)) == (0, 20)


def test_mend_a07_F3_a_referrer_nobody_knows_pays_neither_side_and_is_let_go_with_its_reason() -> None:
    ledger = ledger_after(with_referral(), BORN, *BOUGHT)
    stranger = ledger.others["friend"]
    assert both(ledger) == (100, 0)
    assert [row.outcome.kind for row in stranger.journal] == ["parked"]
    assert stranger.account.next_due == instant(d(33))
    ledger.tick(instant(d(33)))
    assert stranger.journal[-1].outcome.alarms == ["referrer_unknown"]
    assert (ledger.journal[-1].type, ledger.journal[-1].outcome.detail) == ("referral_answered", "referrer_unknown")
    ledger.arrive(registered(d(34), member="friend"), instant(d(34)))
    assert both(ledger) == (100, 0)
    # Another order brings a new message.
    for event in (cancelled("o1", d(35)), paid("o2", d(36), "100"), completed("o2", d(37))):
        ledger.arrive(event, instant(event["time"]))
    assert both(ledger) == (150, 100)


def test_mend_a07_F1_of_two_who_refer_each_other_one_has_points_for_it() -> None:
    other = [paid("p1", d(2), "100", member="m2"), completed("p1", d(3), member="m2")]
    first, second = registered(d(1), referred_by="m2"), registered(d(2), member="m2", referred_by="m1")
    # m1 was told first: m1 has 100 + 50, and m2 100 + 100.
    assert both(ledger_after(with_referral(), first, second, *BOUGHT, *other), "m2") == (150, 200)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_O6_F1_two_who_refer_each_other_end_alike_in_any_order(data: st.DataObject) -> None:
    happened = [
        registered(d(1), referred_by="m2"),
        registered(d(1, "11:00"), member="m2", referred_by="m1"),
        paid("o1", d(2), "100"),
        completed("o1", d(3)),
        paid("p1", d(2), "100", member="m2"),
        completed("p1", d(4), member="m2"),
        refunded("o1", d(6), "100"),
    ]
    gone = data.draw(st.booleans())
    events = data.draw(st.permutations(happened if gone else happened[:-1]))
    ends = (0, 100) if gone else (150, 200)
    assert both(ledger_after(with_referral(), *events), "m2") == ends


def test_mend_a07_F2_a_customer_of_twenty_days_is_nobody_s_referral() -> None:
    events = [registered(d(1)), *BOUGHT, profile(d(20), referred_by="friend")]
    again = [paid("o2", d(21), "100"), completed("o2", d(22))]
    assert (ledger := ledger_after(with_referral(), FRIEND, *events, *again)).account.available == 200
    assert referrals(ledger) == []


def test_F3_a_referrer_has_its_points_once_a_member_and_loses_them_with_its_orders() -> None:
    ledger = MemoryLedger(with_referral(), tiers="received")
    ledger.arrive(registered(d(1)), instant(d(1)))

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


def test_F3_only_the_newest_answer_to_the_newest_question_counts() -> None:
    ledger = ledger_after(with_referral(), FRIEND, BORN, *BOUGHT)
    referred = ledger.account.details.referred
    assert referred is not None
    seen, version, at = referred.asked, referred.answered, instant(d(5))

    def answer(*, granted: bool, seen: int, version: int, by: str = "friend") -> tuple[str, int]:
        name = f"{by}:{version}:{seen}"
        input_ = ReferralAnswered(
            "/loyalty/ledger", name, at, by, granted, "" if granted else "refers_back", seen, version
        )
        return ledger.do(input_, at), ledger.account.available

    assert answer(granted=False, seen=seen - 1, version=version + 9) == ("known", 150)
    assert answer(granted=False, seen=seen, version=version) == ("known", 150)
    assert answer(granted=False, seen=seen, version=version + 1, by="other") == ("known", 150)
    assert answer(granted=False, seen=seen, version=version + 1) == ("booked", 100)
    assert answer(granted=True, seen=seen, version=version + 2) == ("booked", 150)


def test_K4_what_an_older_release_has_booked_stands_and_goes_with_its_order() -> None:
    """Its accounts kept neither when a referral was told, nor with which order it is due, nor what was answered."""
    ledger = ledger_after(with_referral(), FRIEND, BORN, *BOUGHT)
    friend = ledger.others["friend"]
    ledger.account.details.referred = None
    fact = msgspec.msgpack.decode(friend.facts["referral:m1"])
    friend.facts["referral:m1"] = msgspec.msgpack.encode(fact[:2])
    for event in (paid("o2", d(4), "100"), completed("o2", d(5))):
        ledger.arrive(event, instant(event["time"]))
    assert both(ledger) == (250, 100)
    ledger.arrive(cancelled("o1", d(6)), instant(d(6)))
    # Now o2 is the first order: the referrer's account is asked anew, and both sides stand.
    assert both(ledger) == (150, 100)
    ledger.arrive(cancelled("o2", d(7)), instant(d(7)))
    assert both(ledger) == (0, 0)


@st.composite
def acquaintances(draw: st.DrawFn) -> list[HistoryStep]:
    """Who names whom, orders around what a referral asks for, and what other accounts tell; in any order of arrival."""
    days = st.integers(1, 6)
    named = st.sampled_from([None, "m1", "m2", "m2", "m5"])
    happened = [
        registered(d(draw(days)), referred_by=draw(named)) for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2])))
    ]
    for number in range(draw(st.integers(0, 3))):
        happened.append(profile(d(draw(st.integers(1, 8))), id=f"p{number}", referred_by=draw(named)))
    for member in draw(st.sets(st.sampled_from(["m2", "m5"]))):
        happened.append(registered(d(draw(st.sampled_from([1, 3, 5, 45]))), member=member, referred_by=draw(named)))
    for number in range(draw(st.integers(1, 3))):
        name, day = f"o{number}", draw(st.integers(3, 7))
        happened.append(paid(name, d(day), draw(st.sampled_from(["59.99", "60", "100", "0.20"]))))
        happened.append(completed(name, d(day + draw(days))))
        if draw(st.booleans()):
            happened.append(refunded(name, d(day + draw(days)), draw(st.sampled_from(["0.01", "40", "100"]))))
        if draw(st.integers(0, 4)) == 0:
            happened.append(cancelled(name, d(day + draw(days))))
    steps: list[HistoryStep] = []
    now = instant(d(1))
    for event in draw(st.permutations(happened)):
        now = max(later(now, draw(st.sampled_from([0, 0, DAY, 31 * DAY]))), instant(event["time"]))
        steps.append(Arrival(event, now))
        if draw(st.integers(0, 3)) == 0:
            at, told = draw(st.none() | st.just(instant(d(20)))), draw(st.sampled_from([None, instant(d(2))]))
            steps.append(Referred(now, draw(st.sampled_from(["m2", "m3", "m4", "m6"])), at, told))
    return [*steps, Timer(later(now, 60 * DAY))]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_F3_the_fold_refers_as_the_model_does_at_every_step(data: st.DataObject) -> None:
    options = st.fixed_dictionaries(
        {},
        optional={
            "min_spend": st.sampled_from(["60", "0"]),
            "within_days": st.sampled_from([0, 2]),
            "cap": st.just({"per": "month", "referrals": 2}),
        },
    )
    document = with_referral(**data.draw(options))
    document["points"]["max_lateness_days"] = "none"
    compare([document], data.draw(acquaintances()))
