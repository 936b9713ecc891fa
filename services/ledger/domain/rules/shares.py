"""What an order has of campaigns' budgets (N6): wanted by its facts, granted by each campaign's account, and booked.

The order's own account never books more than it knows to be granted. What it wants less it gives up at once, with the
same input; what it wants more it asks for, and books with the answer.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import rebalance
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.multipliers import campaign_of
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.inputs import AskBudget, BudgetAnswered
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.orders import Order, Share
from services.ledger.domain.state.outcome import SOURCE, Asked, AwardReason, Message, Outcome

Wants = Mapping[str, tuple[int, int]]
"""By the account of a campaign's budget: the points that an order earns by the campaign, and how many are confirmed."""


def book_shares(
    member: Member, moves: Posting, order: Order, wants: Wants, lot_days: tuple[Day, Day], cause: Cause
) -> None:
    """Book what changes of an order's shares, and ask for what they have to become.

    `lot_days` are the lot its points are in and the one they belong in.
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
            share.wanted, share.asked = wanted, member.account.version + 1
            share.granted = min(share.granted, wanted)
            moves.asked[account, cause.ref] = Asked(wanted, cause.program.number)
        share.ready = ready
        _book(moves, lot_days, before, share, cause)


def _book(moves: Posting, lot_days: tuple[Day, Day], before: tuple[int, int], share: Share, cause: Cause) -> None:
    own = Cause(campaign_of(share.account), cause.ref, cause.day, cause.program)
    if lot_days[0] != lot_days[1]:
        rebalance(moves, lot_days[0], before, (0, 0), own)
        before = (0, 0)
    rebalance(moves, lot_days[1], before, share.booked, own)


def ask_budgets(member: Member, moves: Posting) -> list[Message]:
    """What the campaigns' accounts are to be told, once all of an input is decided."""
    account = member.account
    told = enumerate(moves.asked.items())
    return [
        Message(
            to,
            AskBudget(
                SOURCE, f"{account.member_id}:{account.version}:budget:{number}", moves.now, account.member_id, order,
                asked.points, account.version, asked.program,
            ),
        )
        for number, ((to, order), asked) in told
    ]  # fmt: skip


def take_share(member: Member, programs: ProgramVersions, moves: Posting, input_: BudgetAnswered) -> Outcome:
    """A campaign's account has answered: book what it granted more.

    An account takes nothing back by itself, so of several answers to one question the largest is the last; an answer to
    an earlier question may be about points that were given up since.
    """
    order = member.order(input_.order)
    share = next((each for each in order.shares if each.account == input_.account), None)
    if share is None or share.asked != input_.asked:
        return Outcome("known", "the order has asked for something else since")
    if share.answered == input_.asked and input_.points <= share.granted:
        return Outcome("known", "the order has so much already")
    before, share.answered = share.booked, input_.asked
    share.granted = input_.points
    member.touched.add(input_.order)
    program = programs.by_number[order.booked_under]
    cause = Cause("", input_.order, order.booked_day, program)
    _book(moves, (order.lot_day, order.lot_day), before, share, cause)
    rule = campaign_of(share.account)
    return Outcome("booked", reasons=[AwardReason(rule, program.number, "", 0, share.wanted, granted=share.granted)])
