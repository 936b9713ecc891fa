"""Campaigns that give from a budget (N6): what an order asks for, and what the budget's own account grants.

The order's account never books more than it knows to be granted. What it wants less it gives up at once, with the same
input; what it wants more it asks for, and books with the answer. The budget's account answers by the order in which the
questions come; points that one order gives up go to those that wait.

SQL: `facts`, `orders`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import PendingAndConfirmed, Posting
from services.ledger.domain.program.multipliers import campaign_of
from services.ledger.domain.state.budgets import (
    NO_PLACE,
    Allotment,
    decode_allotment,
    decode_budget,
    decode_waiting,
    encode,
)
from services.ledger.domain.state.fact_keys import ALLOTMENT, BUDGET, allotment_key, waiting_key
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.messages import AskBudget, BudgetAnswered
from services.ledger.domain.state.orders import Order, Share
from services.ledger.domain.state.outcome import SOURCE, AwardReason, BudgetRequest, Message, Outcome

BUDGET_SPENT: Final = "budget_spent"
"""The alarm of a campaign whose budget is less than its orders want, raised once."""

Wants = Mapping[str, PendingAndConfirmed]
"""By the account of a campaign's budget: the points that an order earns by the campaign, and how many are confirmed."""


# The order's account


def book_shares(posting: Posting, order: Order, wants: Wants, lot_days: tuple[Day, Day], cause: Cause) -> None:
    """Book what changes of an order's shares, and ask their budgets for what the order wants.

    `lot_days` are the lot that the order's points are in and the one they belong in.
    """
    known = {share.account: share for share in order.shares}
    for account in [*known, *(account for account in wants if account not in known)]:
        share, (wanted, ready) = known.get(account), wants.get(account, (0, 0))
        if share is None:
            if not wanted:
                continue
            share = Share(account)
            order.shares.append(share)
        before = share.booked
        if wanted != share.wanted:
            share.wanted, share.asked = wanted, posting.version
            share.granted = min(share.granted, wanted)
            posting.budget_requests[account, cause.ref] = BudgetRequest(wanted, cause.program.number)
        share.ready = ready
        _book_share(posting, lot_days, before, share, cause)


def _book_share(
    posting: Posting, lot_days: tuple[Day, Day], before: PendingAndConfirmed, share: Share, cause: Cause
) -> None:
    own = Cause(campaign_of(share.account), cause.ref, cause.day, cause.program)
    was_in, belongs_in = lot_days
    if was_in != belongs_in:
        posting.rebalance(was_in, before, (0, 0), own)
        before = (0, 0)
    posting.rebalance(belongs_in, before, share.booked, own)


def ask_budgets(posting: Posting) -> list[Message]:
    """The questions to the campaigns' accounts, once all of an input is decided."""
    member_id, version = posting.member.account.member_id, posting.version
    messages: list[Message] = []
    for number, ((account, order), request) in enumerate(posting.budget_requests.items()):
        name = f"{member_id}:{version}:budget:{number}"
        question = AskBudget(SOURCE, name, posting.now, member_id, order, request.points, version, request.program)
        messages.append(Message(account, question))
    return messages


def receive_budget(posting: Posting, answer: BudgetAnswered) -> Outcome:
    """A campaign's account has answered: book what it granted more.

    An account takes nothing back by itself, so of several answers to one question the largest is the last; an answer to
    an earlier question may be about points that were given up since.
    """
    member = posting.member
    order = member.order(answer.order)
    share = next((each for each in order.shares if each.account == answer.account), None)
    if share is None or share.asked != answer.asked:
        return Outcome("known", "the order has asked for something else since")
    if share.answered == answer.asked and answer.points <= share.granted:
        return Outcome("known", "the order has so much already")
    before, share.answered = share.booked, answer.asked
    share.granted = answer.points
    member.touched.add(answer.order)
    program = posting.programs.by_number[order.booked_under]
    cause = Cause("", answer.order, order.booked_day, program)
    _book_share(posting, (order.lot_day, order.lot_day), before, share, cause)
    rule = campaign_of(share.account)
    return Outcome("booked", reasons=[AwardReason(rule, program.number, "", 0, share.wanted, granted=share.granted)])


# The budget's account


def grant_budget(posting: Posting, question: AskBudget) -> Outcome:
    """Grant an order what it wants as far as points are left, and give what it no longer wants to those that wait."""
    account, key = posting.member.account, allotment_key(question.member, question.order)
    points = posting.programs.budget(account.member_id, question.program, posting.now)
    granting = _Granting(posting.member, points)
    own = granting.allotment(key)
    if question.asked <= own.asked:
        return Outcome("known", "something newer is told already")
    own.asked, own.wanted = question.asked, question.points
    granting.grant(key, min(0, own.wanted - own.granted))
    if own.wanted == own.granted:
        own.place = NO_PLACE
    elif own.place == NO_PLACE:
        granting.queue(key)
    granting.serve()
    outcome = Outcome("booked", alarms=granting.save())
    for number, (member_id, order, allotment) in enumerate(granting.changed()):
        name = f"{account.member_id}:{posting.version}:{number}"
        answer = BudgetAnswered(SOURCE, name, posting.now, account.member_id, order, allotment.granted, allotment.asked)
        outcome.messages.append(Message(member_id, answer))
    return outcome


class _Granting:
    """A budget while one question is answered."""

    def __init__(self, member: Member, points: int) -> None:
        self._member = member
        self._points = points
        self._budget = decode_budget(member.fact(BUDGET))
        self._changed: dict[str, Allotment] = {}

    def allotment(self, key: str) -> Allotment:
        """What the order of a key has; its account will get an answer."""
        if key not in self._changed:
            raw = self._member.fact(key)
            self._changed[key] = Allotment() if raw is None else decode_allotment(raw)
        return self._changed[key]

    @property
    def _left(self) -> int:
        return max(self._points - self._budget.granted, 0)

    def grant(self, key: str, points: int) -> None:
        """Grant an order points or, negative, take what it gave up."""
        self._changed[key].granted += points
        self._budget.granted += points

    def queue(self, key: str) -> None:
        """Let an order wait for what it wants more; if no other order waits, only for what is not left."""
        budget, own = self._budget, self._changed[key]
        if budget.first == budget.next:
            self.grant(key, min(own.wanted - own.granted, self._left))
        if own.granted < own.wanted:
            own.place = budget.next
            self._member.facts[waiting_key(own.place)] = encode(key)
            budget.next += 1

    def serve(self) -> None:
        """Grant what is left to the orders that wait, in the order of the queue."""
        budget = self._budget
        begins = ahead = budget.first
        while self._left and budget.first < budget.next:
            if budget.first == ahead:
                # Each look ahead is twice as far, so that many are served with few readings.
                ahead = min(budget.next, 2 * budget.first - begins + 1)
                self._look_ahead(budget.first, ahead)
            raw = self._member.fact(waiting_key(budget.first))
            assert raw is not None
            key = decode_waiting(raw)
            if self._is_waiting(key, budget.first):
                waiting = self.allotment(key)
                self.grant(key, min(waiting.wanted - waiting.granted, self._left))
                if waiting.granted < waiting.wanted:
                    return
                waiting.place = NO_PLACE
            budget.first += 1

    def _is_waiting(self, key: str, place: int) -> bool:
        """Whether an order still waits at a place: it may want nothing more, or wait further behind."""
        known = self._changed.get(key)
        if known is None:
            raw = self._member.fact(key)
            assert raw is not None
            known = decode_allotment(raw)
        return known.place == place

    def _look_ahead(self, first: int, until: int) -> None:
        places = [waiting_key(number) for number in range(first, until)]
        self._member.want_facts(places)
        self._member.want_facts([decode_waiting(raw) for place in places if (raw := self._member.fact(place))])

    def save(self) -> list[str]:
        """Keep what has changed; the alarms that this raises."""
        for key, allotment in self._changed.items():
            self._member.facts[key] = encode(allotment)
        budget = self._budget
        raised = [] if budget.spent or budget.first == budget.next else [BUDGET_SPENT]
        budget.spent = budget.spent or bool(raised)
        self._member.facts[BUDGET] = encode(budget)
        return raised

    def changed(self) -> list[tuple[str, str, Allotment]]:
        """(member, order, what it has) of each order that gets an answer, the one that asked first."""
        names = [(key.removeprefix(ALLOTMENT).partition("/"), each) for key, each in self._changed.items()]
        return [(member_id, order, each) for (member_id, _, order), each in names]
