"""Referrals: points for who was referred and for who referred, while the referred member has a successful order.

Each side is booked on its own account. What the referrer is to have goes out with the outcome of the referred
member's input, and comes to the referrer's account as an input like any other.
"""

from __future__ import annotations

import msgspec

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.caps import change_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.account import Award
from services.ledger.domain.state.inputs import ReferralReceived
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import AwardReason, Outcome, Referral


class _Referred(msgspec.Struct, array_like=True):
    """What the referrer's account knows of one member it referred: the newest telling, and what is booked for it."""

    seen: int
    award: Award | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Referred).decode


def refer(member: Member, programs: ProgramVersions, moves: Posting, referrer: str) -> None:
    """Know by whom a member was referred."""
    details = member.account.details
    before, details.referrer = details.referrer, referrer
    if before == referrer:
        return
    if before and details.referral is not None:
        moves.referrals.append(Referral(before, 0, 0))
        _book(moves, programs, "referral", details.referral, None)
        details.referral = None
    settle_referral(member, programs, moves)


def settle_referral(member: Member, programs: ProgramVersions, moves: Posting) -> None:
    """Book the referred side anew after the holder of the first-purchase bonus (R9), or the referrer, changed."""
    details, holder = member.account.details, member.account.details.bonus
    if not details.referrer:
        return
    due = None
    if holder is not None and (rule := programs.at(holder.paid_at).referral) is not None:
        program = programs.at(holder.paid_at)
        day = program.calendar.day_of(holder.since)
        due = Award(rule.name, rule.referred, holder.lot_day, day, program.number)
    booked, details.referral = details.referral, due
    if booked == due:
        return
    _book(moves, programs, "referral", booked, due)
    if due is None or holder is None:
        moves.referrals.append(Referral(details.referrer, 0, 0))
    else:
        moves.referrals.append(Referral(details.referrer, holder.since, due.program))


def receive_referral(member: Member, programs: ProgramVersions, moves: Posting, input_: ReferralReceived) -> Outcome:
    """The referrer's side: a member whom it referred has a successful order, or has none any more."""
    key = f"referral:{input_.member}"
    raw = member.fact(key)
    known = _Referred(0) if raw is None else _decode(raw)
    if input_.seen <= known.seen:
        return Outcome("known", "something newer is told already")
    outcome = Outcome("booked")
    due = None
    if input_.stands_under:
        program = programs.by_number[input_.stands_under]
        assert program.referral is not None
        day = program.calendar.day_of(input_.at)
        rule = program.referral
        due = Award(rule.name, rule.referrer, program.lot_day(day), day, program.number)
        outcome.reasons.append(AwardReason(rule.name, program.number, "", 1, rule.referrer))
    _book(moves, programs, key, known.award, due)
    member.facts[key] = _encode(_Referred(input_.seen, due))
    return outcome


def _book(moves: Posting, programs: ProgramVersions, ref: str, booked: Award | None, due: Award | None) -> None:
    """Book the difference between two awards; what moves to another lot is claimed there and awarded here."""
    if booked is not None and due is not None and booked.lot_day == due.lot_day:
        change_award(moves, due.lot_day, due.points - booked.points, _cause(programs, ref, due))
        return
    for award, sign in ((booked, -1), (due, 1)):
        if award is not None:
            change_award(moves, award.lot_day, sign * award.points, _cause(programs, ref, award))


def _cause(programs: ProgramVersions, ref: str, award: Award) -> Cause:
    return Cause(award.rule, ref, award.day, programs.by_number[award.program])
