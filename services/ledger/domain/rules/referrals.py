"""Referrals: points for both sides, while the referred member has a successful order.

Each side is booked on its own account. The referred member's outcome carries what the referrer has to get, which comes
to the referrer's account as an input like any other.

SQL: `facts`.
"""

from __future__ import annotations

import msgspec

from services.kit.calendar import NOT_YET
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.state.account import NO_PROGRAM, Award
from services.ledger.domain.state.fact_keys import referral_key
from services.ledger.domain.state.messages import ReferralReceived
from services.ledger.domain.state.outcome import AwardReason, Outcome, Referral

REFERRED = "referral"
"""What the entries of the referred side are about."""


class _Referred(msgspec.Struct, array_like=True):
    """What the referrer's account knows of one member it referred: the newest message (`seen`), and what is booked."""

    seen: int
    award: Award | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Referred).decode


def refer(posting: Posting, referrer: str) -> None:
    """Keep by whom the member was referred, and book what that changes."""
    details = posting.member.account.details
    before, details.referrer = details.referrer, referrer
    if before == referrer:
        return
    if before and details.referral is not None:
        posting.referrals.append(Referral(before, NOT_YET, NO_PROGRAM))
        _replace(posting, REFERRED, details.referral, None)
        details.referral = None
    settle_referral(posting)


def settle_referral(posting: Posting) -> None:
    """Book the referred side anew after the holder of the first-purchase bonus (R9), or the referrer, changed."""
    details, holder = posting.member.account.details, posting.member.account.details.bonus
    if not details.referrer:
        return
    due = None
    if holder is not None and (rule := posting.programs.at(holder.paid_at).referral) is not None:
        program = posting.programs.at(holder.paid_at)
        day = program.calendar.day_of(holder.since)
        due = Award(rule.name, rule.referred, holder.lot_day, day, program.number)
    booked, details.referral = details.referral, due
    if booked == due:
        return
    _replace(posting, REFERRED, booked, due)
    if due is None or holder is None:
        posting.referrals.append(Referral(details.referrer, NOT_YET, NO_PROGRAM))
    else:
        posting.referrals.append(Referral(details.referrer, holder.since, due.program))


def receive_referral(posting: Posting, received: ReferralReceived) -> Outcome:
    """The referrer's side: a member whom it referred has a successful order, or has none any more."""
    member, key = posting.member, referral_key(received.member)
    raw = member.fact(key)
    known = _Referred(0) if raw is None else _decode(raw)
    if received.seen <= known.seen:
        return Outcome("known", "something newer is told already")
    outcome = Outcome("booked")
    due = None
    if received.stands_under:
        program = posting.programs.by_number[received.stands_under]
        assert program.referral is not None
        day = program.calendar.day_of(received.at)
        rule = program.referral
        due = Award(rule.name, rule.referrer, program.lot_day(day), day, program.number)
        outcome.reasons.append(AwardReason(rule.name, program.number, "", 1, rule.referrer))
    _replace(posting, key, known.award, due)
    member.facts[key] = _encode(_Referred(received.seen, due))
    return outcome


def _replace(posting: Posting, ref: str, booked: Award | None, due: Award | None) -> None:
    replace_award(posting, _standing(posting, ref, booked), _standing(posting, ref, due))


def _standing(posting: Posting, ref: str, award: Award | None) -> StandingAward | None:
    if award is None:
        return None
    cause = Cause(award.rule, ref, award.day, posting.programs.by_number[award.program])
    return StandingAward(award.points, award.lot_day, cause, (award.lot_day,))
