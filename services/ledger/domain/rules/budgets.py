"""The account of a campaign that gives from a budget: what each order has of it, and which orders wait for more (N6).

What one order gives up goes to those that wait, in the order in which they came; each is told what it has now.
"""

from __future__ import annotations

from typing import Final

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.budgets import (
    ALLOTMENT,
    BUDGET,
    NOWHERE,
    Allotment,
    allotment_key,
    decode_allotment,
    decode_budget,
    decode_name,
    encode,
)
from services.ledger.domain.state.inputs import AskBudget, BudgetAnswered
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome

BUDGET_SPENT: Final = "budget_spent"
"""The alarm of a campaign whose budget is less than its orders want, raised once."""


def allot(member: Member, programs: ProgramVersions, moves: Posting, input_: AskBudget) -> Outcome:
    """Give an order what it wants as far as there is some left, and give on what it no longer wants."""
    account, key = member.account, allotment_key(input_.member, input_.order)
    state = _Allotting(member, programs.budget(account.member_id, input_.program, moves.now))
    own = state.allotment(key)
    if input_.asked <= own.asked:
        return Outcome("known", "something newer is told already")
    own.asked, own.wanted = input_.asked, input_.points
    state.give(key, min(0, own.wanted - own.granted))
    if own.wanted == own.granted:
        own.place = NOWHERE
    elif own.place == NOWHERE:
        state.queue(key)
    state.serve()
    outcome = Outcome("booked", alarms=state.save())
    for number, (to, order, allotment) in enumerate(state.told()):
        name = f"{account.member_id}:{account.version + 1}:{number}"
        answer = BudgetAnswered(SOURCE, name, moves.now, account.member_id, order, allotment.granted, allotment.asked)
        outcome.messages.append(Message(to, answer))
    return outcome


class _Allotting:
    """A budget while one question is decided."""

    def __init__(self, member: Member, points: int) -> None:
        self._member = member
        self._points = points
        self._budget = decode_budget(member.fact(BUDGET))
        self._changed: dict[str, Allotment] = {}

    def allotment(self, key: str) -> Allotment:
        """What the order of a key has; from now on it will be told."""
        if key not in self._changed:
            raw = self._member.fact(key)
            self._changed[key] = Allotment() if raw is None else decode_allotment(raw)
        return self._changed[key]

    @property
    def _left(self) -> int:
        return max(self._points - self._budget.granted, 0)

    def give(self, key: str, points: int) -> None:
        """Give an order points, or (negative) take what it gave up."""
        self._changed[key].granted += points
        self._budget.granted += points

    def queue(self, key: str) -> None:
        """Let an order wait for what it wants more; where nobody else does, for what is not left."""
        budget, own = self._budget, self._changed[key]
        if budget.first == budget.next:
            self.give(key, min(own.wanted - own.granted, self._left))
        if own.granted < own.wanted:
            own.place = budget.next
            self._member.facts[_place(own.place)] = encode(key)
            budget.next += 1

    def serve(self) -> None:
        """Give what is left to those that wait, the first first."""
        budget = self._budget
        begins = ahead = budget.first
        while self._left and budget.first < budget.next:
            if budget.first == ahead:
                # Each look ahead is twice as far, so that many are served with few readings.
                ahead = min(budget.next, 2 * budget.first - begins + 1)
                self._look_ahead(budget.first, ahead)
            raw = self._member.fact(_place(budget.first))
            assert raw is not None
            key = decode_name(raw)
            if self._is_waiting(key, budget.first):
                waiting = self.allotment(key)
                self.give(key, min(waiting.wanted - waiting.granted, self._left))
                if waiting.granted < waiting.wanted:
                    return
                waiting.place = NOWHERE
            budget.first += 1

    def _is_waiting(self, key: str, place: int) -> bool:
        """Whether an order waits at a place: it may want nothing more, or wait again further behind."""
        known = self._changed.get(key)
        if known is None:
            raw = self._member.fact(key)
            assert raw is not None
            known = decode_allotment(raw)
        return known.place == place

    def _look_ahead(self, first: int, until: int) -> None:
        places = [_place(number) for number in range(first, until)]
        self._member.want_facts(places)
        self._member.want_facts([decode_name(raw) for place in places if (raw := self._member.fact(place))])

    def save(self) -> list[str]:
        """Keep what has changed; the alarms that it raises."""
        for key, allotment in self._changed.items():
            self._member.facts[key] = encode(allotment)
        budget = self._budget
        raised = [] if budget.spent or budget.first == budget.next else [BUDGET_SPENT]
        budget.spent = budget.spent or bool(raised)
        self._member.facts[BUDGET] = encode(budget)
        return raised

    def told(self) -> list[tuple[str, str, Allotment]]:
        """(member, order, what it has) of each order that is to be told, who asked first."""
        names = [(key.removeprefix(ALLOTMENT).partition("/"), each) for key, each in self._changed.items()]
        return [(member_id, order, each) for (member_id, _, order), each in names]


def _place(number: int) -> str:
    return f"waiting:{number}"
