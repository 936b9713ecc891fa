"""A campaign's budget between accounts (N6): questions and answers in any order, twice and late; who waits for what."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.calendar import Micros
from services.ledger.domain.batch import Arrival
from services.ledger.domain.chain import digest_of
from services.ledger.domain.rules.budgets import BUDGET_SPENT
from services.ledger.domain.state.budgets import decode_budget
from services.ledger.domain.state.fact_keys import BUDGET
from services.ledger.domain.state.messages import AskBudget
from services.ledger.domain.state.orders import Share, decode_order
from services.ledger.domain.state.outcome import Message
from tests.model.days import instant
from tests.model.events import Event, cancelled, completed, d, paid, part, refunded, tier
from tests.model.program import Program
from tests.model.table.multipliers import campaign, stacking
from tests.unit.ledger_member import MemoryLedger

BUDGET_OF_150 = stacking("multiply", campaign("2", budget=150))
ACCOUNT = "campaign:member-day:20260228T160000Z"
NOON: Micros = instant(d(2, "12:00"))


class Shop:
    """Members and the account of a budget; what they tell each other waits until it is delivered."""

    def __init__(self, document: Program | Sequence[Program]) -> None:
        self._document = document
        self.accounts: dict[str, MemoryLedger] = {}
        self.messages: list[Message] = []

    def account(self, name: str) -> MemoryLedger:
        if name not in self.accounts:
            self.accounts[name] = MemoryLedger(self._document, tiers="received", member_id=name)
        return self.accounts[name]

    def receive(self, member: str, event: Event, now: Micros | None = None) -> None:
        """An event comes in; what it makes the member tell others is not delivered yet."""
        account = self.account(member)
        before = len(account.journal)
        account.take_event(event, instant(event["time"]) if now is None else now)
        self.messages += account.messages(since=before)

    def deliver(self, number: int = 0, *, keep: bool = False) -> None:
        """Deliver a message, which may be delivered again if it is kept."""
        message = self.messages[number] if keep else self.messages.pop(number)
        account = self.account(message.to)
        before = len(account.journal)
        account.do(message.input_, max(account.clock, NOON))
        self.messages += account.messages(since=before)

    def settle(self) -> None:
        """Deliver until nobody has to tell anything."""
        while self.messages:
            self.deliver()

    @property
    def granted(self) -> int:
        return decode_budget(self.account(ACCOUNT).facts.get(BUDGET)).granted

    def shares(self) -> dict[str, Share]:
        """What each order has, by member and order."""
        return {
            f"{name}{ref}": share
            for name, account in self.accounts.items()
            for ref, raw in account.orders.items()
            for share in decode_order(raw).shares
        }

    def points(self) -> dict[str, int]:
        """What each order has been given, by member and order."""
        return {name: share.granted for name, share in self.shares().items()}

    def booked(self) -> int:
        """What the entries of all members say that the campaign gave."""
        return sum(account.result().rules.get("member-day", 0) for account in self.accounts.values())


def test_N6_an_order_books_with_the_answer_what_the_budget_gives() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(2), "100"))
    assert (shop.account("m1").account.pending, shop.points()) == (100, {"m1/o1": 0})
    shop.settle()
    entry = shop.account("m1").journal[-1].outcome.entries[0]
    assert (entry.debit, entry.credit, entry.points) == ("issued", "pending", 100)
    assert (entry.rule, entry.ref, entry.lot) == ("member-day", "/o1", (date(2027, 3, 2).toordinal(), 0))
    assert shop.account("m1").account.pending == 200


def test_N6_what_it_gives_ends_when_it_is_spent_and_the_account_says_so_once() -> None:
    shop = Shop(BUDGET_OF_150)
    for number in range(4):
        shop.receive(f"m{number}", paid("o1", d(2), "100"))
    shop.settle()
    assert shop.points() == {"m0/o1": 100, "m1/o1": 50, "m2/o1": 0, "m3/o1": 0}
    assert [row.outcome.alarms for row in shop.account(ACCOUNT).journal] == [[], [BUDGET_SPENT], [], []]
    [reason] = shop.account("m1").journal[-1].outcome.reasons
    assert (reason.rule, reason.points, reason.granted) == ("member-day", 100, 50)
    [reason] = shop.account("m2").journal[-1].outcome.reasons
    assert (reason.points, reason.granted) == (100, 0)


def test_N6_what_a_refund_frees_goes_to_those_that_wait_in_the_order_in_which_they_came() -> None:
    shop = Shop(BUDGET_OF_150)
    for number in range(4):
        shop.receive(f"m{number}", paid("o1", d(2), "100"))
    shop.settle()
    shop.receive("m2", cancelled("o1", d(3)))
    shop.receive("m0", refunded("o1", d(3), "60"))
    assert shop.points()["m0/o1"] == 40, "given up at once"
    shop.settle()
    assert shop.points() == {"m0/o1": 40, "m1/o1": 100, "m2/o1": 0, "m3/o1": 10}
    assert (shop.granted, shop.booked()) == (150, 150)
    shop.receive("m1", cancelled("o1", d(4)))
    shop.settle()
    assert shop.points() == {"m0/o1": 40, "m1/o1": 0, "m2/o1": 0, "m3/o1": 100}
    assert (shop.granted, shop.booked()) == (140, 140)
    shop.receive("m5", paid("o1", d(5), "100"))
    shop.settle()
    assert shop.points()["m5/o1"] == 10, "nobody waits, so there is something for the next"


def test_R1_what_is_available_of_it_is_clawed_back_with_the_refund() -> None:
    shop = Shop(stacking("multiply", campaign("2", budget=1000)))
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.settle()
    shop.receive("m1", completed("o1", d(3)))
    assert shop.account("m1").account.available == 200
    shop.receive("m1", refunded("o1", d(4), "30"))
    assert shop.account("m1").account.available == 140
    assert shop.account("m1").result().rules == {"purchase": 70, "member-day": 70}
    shop.settle()
    assert shop.granted == 70


def test_O8_what_is_given_late_is_confirmed_as_far_as_the_lines_are() -> None:
    shop = Shop(BUDGET_OF_150)
    lines = [{"line_id": f"l{n}", "sku": f"s{n}", "quantity": 1, "amount": "100"} for n in (1, 2)]
    shop.receive("m1", paid("o1", d(2), lines))
    shop.receive("m1", completed("o1", d(3), [part("l1")]))
    shop.settle()
    account = shop.account("m1").account
    assert (account.available, account.pending) == (200, 150), "100 for the line received, 50 of 100 for the other"


def test_N6_an_answer_to_an_earlier_question_changes_nothing() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.deliver()
    (answer,) = shop.messages
    shop.receive("m1", refunded("o1", d(3), "90"))
    shop.receive("m1", paid("o1", d(2), "150", revision=1))
    assert shop.account("m1").do(answer.input_, NOON) == "known"
    assert shop.points() == {"m1/o1": 0}
    shop.messages.remove(answer)
    shop.settle()
    assert (shop.points(), shop.granted) == ({"m1/o1": 60}, 60)


def test_N6_of_two_answers_to_a_question_the_larger_is_the_later() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.settle()
    shop.receive("m2", paid("o1", d(2), "100"))
    shop.deliver()
    shop.receive("m1", cancelled("o1", d(3)))
    shop.deliver(1)
    earlier, later = (message for message in shop.messages if message.to == "m2")
    assert [shop.account("m2").do(message.input_, NOON) for message in (later, earlier)] == ["booked", "known"]
    assert shop.points()["m2/o1"] == 100


def test_N6_a_question_that_a_newer_one_overtook_changes_nothing() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.receive("m1", refunded("o1", d(3), "90"))
    shop.deliver(1)
    shop.settle()
    assert (shop.granted, shop.points()) == (10, {"m1/o1": 10})


def test_N6_who_wants_nothing_more_and_then_again_waits_behind_the_others() -> None:
    shop = Shop(BUDGET_OF_150)
    for member, amount in (("m1", "150"), ("m2", "100"), ("m3", "100")):
        shop.receive(member, paid("o1", d(2), amount))
    for revision, amount in ((1, "0"), (2, "100")):
        shop.receive("m2", paid("o1", d(2), amount, revision=revision))
    shop.settle()
    shop.receive("m1", refunded("o1", d(3), "110"))
    shop.settle()
    assert shop.points() == {"m1/o1": 40, "m2/o1": 10, "m3/o1": 100}


def test_E7_an_earlier_telling_of_paid_moves_what_it_has_to_its_lot() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(3), "100"))
    shop.settle()
    shop.receive("m1", paid("o1", d(2), "100", id="again"), instant(d(3)))
    lots = shop.account("m1").result().lots
    assert {day: lot["pending"] for (day, _), lot in lots.items() if lot["pending"]} == {"2027-03-02": 200}
    assert not shop.messages, "it wants and has what it did"


def test_E7_an_earlier_telling_of_paid_leaves_the_campaign_and_its_budget() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(1), "100"))
    shop.settle()
    shop.receive("m1", paid("o1", d(0), "100", id="again"), instant(d(3)))
    shop.settle()
    assert (shop.account("m1").account.pending, shop.granted) == (100, 0)


def test_T1_a_tier_told_late_makes_an_order_want_more() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.settle()
    shop.receive("m1", tier([(d(-9), "senior")], version=1), instant(d(3)))
    shop.settle()
    assert shop.account("m1").result().rules == {"purchase": 100, "tier-true-up": 10, "member-day": 110}


def test_N6_several_budgets_give_one_after_the_other() -> None:
    rules = campaign("2", budget=1000), campaign("3", "tripled", budget=150)
    shop = Shop(stacking("multiply", *rules))
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.settle()
    # 100 x 2 x 3: the first gives 100, the second 400 of which it has 150
    assert shop.account("m1").result().rules == {"purchase": 100, "member-day": 100, "tripled": 150}


def test_N6_a_campaign_goes_on_in_the_next_version_which_may_change_its_budget() -> None:
    second = stacking("multiply", campaign("2", budget=250)) | {"version": "2026.2", "effective_from": d(3, "00:00")}
    shop = Shop([BUDGET_OF_150, second])
    shop.receive("m1", paid("o1", d(2), "200"))
    shop.settle()
    assert shop.points() == {"m1/o1": 150}
    for number in (2, 3):
        shop.receive(f"m{number}", paid("o1", d(3), "60"))
        shop.account(ACCOUNT).clock = instant(d(3))
        shop.settle()
    assert shop.points() == {"m1/o1": 200, "m2/o1": 50, "m3/o1": 0}


def test_N6_a_budget_that_a_version_lowers_takes_nothing_back() -> None:
    second = stacking("multiply", campaign("2", budget=50)) | {"version": "2026.2", "effective_from": d(3, "00:00")}
    shop = Shop([BUDGET_OF_150, second])
    shop.receive("m1", paid("o1", d(2), "100"))
    shop.settle()
    shop.account(ACCOUNT).clock = instant(d(3))
    shop.receive("m2", paid("o1", d(3), "60"))
    shop.settle()
    assert shop.points() == {"m1/o1": 100, "m2/o1": 0}
    shop.receive("m1", refunded("o1", d(4), "80"))
    shop.settle()
    assert shop.points() == {"m1/o1": 20, "m2/o1": 30}


def test_N6_who_was_served_waits_again_for_what_it_wants_more() -> None:
    shop = Shop(BUDGET_OF_150)
    for member in ("m1", "m2"):
        shop.receive(member, paid("o1", d(2), "100"))
    shop.settle()
    shop.receive("m1", refunded("o1", d(3), "50"))
    shop.settle()
    shop.receive("m2", paid("o1", d(2), "120", revision=1))
    shop.settle()
    shop.receive("m1", cancelled("o1", d(4)))
    shop.settle()
    assert shop.points() == {"m1/o1": 0, "m2/o1": 120}


def test_N6_many_that_wait_are_served_at_once() -> None:
    shop = Shop(BUDGET_OF_150)
    shop.receive("m0", paid("o1", d(2), "150"))
    for number in range(1, 90):
        shop.receive(f"m{number}", paid("o1", d(2), "2"))
    for number in range(1, 40):
        shop.receive(f"m{number}", cancelled("o1", d(3)))
    shop.settle()
    shop.receive("m0", refunded("o1", d(3), "99"))
    shop.settle()
    has = shop.points()
    assert [has[f"m{number}/o1"] for number in range(90)] == [51, *[0] * 39, *[2] * 49, 1]


# ── any interleaving ─────────────────────────────────────────────────────────────────────────────────────────────────

SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
AMOUNTS = st.sampled_from(["10", "40", "70.50", "100"])


@st.composite
def orders(draw: st.DrawFn) -> list[tuple[str, Event]]:
    """What happens to a few orders of a few members, in the order in which it comes in."""
    happened: list[tuple[str, Event]] = []
    for number in range(draw(st.integers(2, 6))):
        member, order = draw(st.sampled_from(["m1", "m2", "m3"])), f"o{number}"
        events = [paid(order, d(2), draw(AMOUNTS))]
        if draw(st.booleans()):
            events.append(paid(order, d(2), draw(AMOUNTS), revision=1))
        for refund in range(draw(st.integers(0, 2))):
            events.append(refunded(order, d(3), draw(st.sampled_from(["5", "30", "65"])), refund=f"r{refund}"))
        if draw(st.booleans()):
            events.append(completed(order, d(4)))
        if draw(st.integers(0, 4)) == 0:
            events.append(cancelled(order, d(5)))
        happened += [(member, event) for event in events]
    return draw(st.permutations(happened))


@SETTINGS
@given(orders(), st.integers(0, 2**32))
def test_N6_whatever_comes_when_and_twice_the_budget_is_given_exactly(
    happened: list[tuple[str, Event]], seed: int
) -> None:
    shop, rng = Shop(BUDGET_OF_150), random.Random(seed)
    for member, event in happened:
        shop.receive(member, event, instant(d(6)))
        for _ in range(rng.randrange(3)):
            if shop.messages:
                shop.deliver(rng.randrange(len(shop.messages)), keep=rng.random() < 0.3)
            assert shop.booked() <= shop.granted <= 150
    while shop.messages:
        shop.deliver(rng.randrange(len(shop.messages)))
    wanted = sum(share.wanted for share in shop.shares().values())
    assert shop.booked() == shop.granted == min(150, wanted)
    assert all(share.asked == share.answered for share in shop.shares().values())


@SETTINGS
@given(st.data())
def test_O7_the_account_of_a_budget_writes_the_same_in_any_batches(data: st.DataObject) -> None:
    questions = st.tuples(st.integers(1, 3), st.integers(1, 2), st.sampled_from([0, 20, 60, 100]))
    asked = [
        AskBudget("/loyalty/ledger", f"{number}", NOON, f"m{member}", f"/o{order}", points, number + 1, 1)
        for number, (member, order, points) in enumerate(data.draw(st.lists(questions, min_size=1)))
    ]
    single, batched = (MemoryLedger(BUDGET_OF_150, member_id=ACCOUNT) for _ in range(2))
    rest = [Arrival(digest_of(ACCOUNT, each.source, each.id), each, NOON) for each in asked]
    for arrival in rest:
        single._book([arrival])
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batched._book(rest[:size])
        rest = rest[size:]
    assert [row.head for row in batched.journal] == [row.head for row in single.journal]
    assert (batched.facts, batched.messages()) == (single.facts, single.messages())
