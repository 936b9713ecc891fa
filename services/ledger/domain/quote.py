"""What a cart would earn, and what part of it points could pay: the fold itself, on a member that is thrown away.

The cart is folded as an order that is paid and received at `now`, so a quote equals what is booked if the order then
comes, whatever rules are in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.kit.calendar import NO_DAY, Day, Micros
from services.ledger.domain.decide import decide
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.state.entries import Entry
from services.ledger.domain.state.inputs import Completed, DueTimer, Line, Paid
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason

CART: Final = "quote:"
"""The ref of the cart while it is folded; no order has it, because an order's ref has a slash."""


@dataclass(frozen=True, slots=True)
class Cart:
    """An order that is not placed yet. Amounts in minor units of its currency, after discounts, before points."""

    lines: tuple[Line, ...]
    shipping: int = 0
    tax: int = 0
    points_used: int = 0
    channel: str = ""

    @property
    def amount(self) -> int:
        """All that is owed for it, before points."""
        return sum(line.amount for line in self.lines) + self.shipping + self.tax


@dataclass(slots=True)
class Award:
    """The points that a rule would give for a cart, the last day to spend them (`NO_DAY` if it gives none) and why.

    `if_budget_lasts` are points that a campaign gives only as long as its budget has some left (N6).
    """

    rule: str
    points: int = 0
    last_day: Day = NO_DAY
    reason: AwardReason | None = None
    if_budget_lasts: int = 0


@dataclass(frozen=True, slots=True)
class Quote:
    """A cart priced in points: `usable` of the `available` points may pay at most `payable` minor units of it."""

    program: Program
    tier: str
    available: int
    payable: int
    usable: int
    awards: list[Award]


class NotUsable(Exception):
    """The cart asks for points that the member does not have, or that the program does not let pay for it."""

    def __init__(self, program: Program, wanted: int, available: int, usable: int) -> None:
        super().__init__(wanted, available, usable)
        self.program = program
        self.wanted = wanted
        self.available = available
        self.usable = usable


def quote(programs: ProgramVersions, member: Member, cart: Cart, now: Micros) -> Quote:
    """Price a cart at `now`; the member is worthless afterwards. Raises Missing, as every fold, and NotUsable."""
    decide(programs, member, DueTimer("", CART, now), now)
    program, available = programs.at(now), member.account.available
    payable = cart.shipping + cart.tax + program.points_cannot_pay.rest(cart.lines)
    offset = program.cash_offset
    usable = available if offset is None else offset.max_points(available, payable, program.decimals)
    if cart.points_used and (cart.points_used > usable or (offset is not None and offset.objection(cart.points_used))):
        raise NotUsable(program, cart.points_used, available, usable)
    paid = Paid(
        "", CART, now, CART, 0, cart.lines, cart.shipping, cart.tax, cart.points_used,
        None if cart.points_used else 0, channel=cart.channel,
    )  # fmt: skip
    decisions = [decide(programs, member, input_, now) for input_ in (paid, Completed("", CART, now, CART))]
    outcomes = [outcome for outcome in decisions if outcome is not None]
    reasons = outcomes[0].reasons
    entries = [entry for outcome in outcomes for entry in outcome.entries]
    last_day = program.order_last_day(program.calendar.day_of(now))
    return Quote(program, reasons[0].tier, available, payable, usable, _awards(member, reasons, last_day, entries))


def _awards(member: Member, reasons: list[AwardReason], last_day: Day, entries: list[Entry]) -> list[Award]:
    """What the entries issue by rule, less what they claw back; the order's rule first, also where it gives nothing."""
    awards = {reason.rule: Award(reason.rule, reason=reason) for reason in reasons}
    for reason in reasons:
        if reason.granted is not None:
            awards[reason.rule].if_budget_lasts, awards[reason.rule].last_day = reason.points, last_day
    for entry in entries:
        if "issued" not in (entry.debit, entry.credit):
            continue
        award = awards.setdefault(entry.rule, Award(entry.rule))
        if entry.debit == "issued":
            award.points += entry.points
            award.last_day = member.lots.last_day(entry.lot.day)
        else:
            award.points -= entry.points
    return list(awards.values())
