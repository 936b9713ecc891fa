"""Whether orders have what the budgets of campaigns gave them (N6). `verify` reads shard by shard. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.budgets import decode_allotment, decode_budget
from services.ledger.domain.state.fact_keys import ALLOTMENT, BUDGET
from services.ledger.domain.state.orders import decode_order
from services.ledger.domain.state.refs import CAMPAIGN

MAX_FAULTS = 20
"""Faults that are named; there may be more."""


class Budgets(msgspec.Struct):
    """Points given less points booked, by budget, member and order; a difference of 0 is dropped.

    A difference above 0 is on its way to the order, or the order gave it back and the budget has not taken it yet.
    """

    left: dict[str, int] = {}
    wrong: list[str] = []
    """Faults of a budget alone."""

    def read(
        self, account: str, orders: Mapping[str, bytes], facts: Mapping[str, bytes], programs: ProgramVersions
    ) -> None:
        """Add an account's orders (their states) and facts; another check reports what cannot be read."""
        try:
            if account.startswith(CAMPAIGN):
                self._granted(account, facts, programs)
            elif any(program.order.budgeted for program in programs.versions):
                self._booked(account, orders)
        except msgspec.DecodeError:
            return

    def _granted(self, account: str, facts: Mapping[str, bytes], programs: ProgramVersions) -> None:
        allotments = {
            key.removeprefix(ALLOTMENT): decode_allotment(raw)
            for key, raw in facts.items()
            if key.startswith(ALLOTMENT)
        }
        granted, together = decode_budget(facts.get(BUDGET)).granted, sum(each.granted for each in allotments.values())
        most = max(program.order.budget(account) or 0 for program in programs.versions)
        if granted != together:
            self.wrong.append(f"{account} gave {granted} points, its orders have {together}")
        if granted > most:
            self.wrong.append(f"{account} gave {granted} points of a budget of {most}")
        for name, allotment in allotments.items():
            self._count(f"{name} of {account}", allotment.granted)

    def _booked(self, member_id: str, orders: Mapping[str, bytes]) -> None:
        for ref, state in orders.items():
            for share in decode_order(state).shares:
                self._count(f"{member_id}/{ref} of {share.account}", -share.granted)

    def add(self, other: Budgets) -> None:
        """Add the budgets and orders of other accounts."""
        self.wrong += other.wrong
        for name, points in other.left.items():
            self._count(name, points)

    def replace(self, name: str, points: int) -> None:
        """Say anew what is left of a name."""
        self.left.pop(name, None)
        self._count(name, points)

    def _count(self, name: str, points: int) -> None:
        left = self.left.pop(name, 0) + points
        if left:
            self.left[name] = left

    def faults(self) -> list[str]:
        """What does not hold."""
        beyond = [
            f"order {name} has {-points} points that were not given"
            for name, points in sorted(self.left.items())
            if points < 0
        ]
        return [*self.wrong, *beyond][:MAX_FAULTS]
