"""Caps as pools (N3): what a rule gives a member on one local day is min(cap, sum of uncapped awards still standing).

A day on which another program version begins has a pool of each: what both gave could be in two lots, under two caps.
Each fact books the change of that total, which may differ from its own award: a refund or a removed review frees
the cap for the others. Capped points are in the day's lot.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import msgspec

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.state.entries import SLIDING
from services.ledger.domain.state.member import Member


class Pool(msgspec.Struct, array_like=True):
    """Uncapped awards of one rule, program version and day (`total`, of it `confirmed`), and what is booked of them."""

    total: int = 0
    confirmed: int = 0
    booked_pending: int = 0
    booked_confirmed: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Pool).decode


def change_pool(
    member: Member,
    moves: Posting,
    *,
    rule: str,
    cap: int,
    program: int,
    day: Day,
    lot_day: Day,
    total: int,
    confirmed: int,
    cause: Cause,
) -> None:
    """Change the uncapped sums of a pool by `total` and `confirmed`, and book what that changes."""
    key = f"cap:{rule}:{program}:{date.fromordinal(day).isoformat()}"
    raw = member.fact(key)
    pool = Pool() if raw is None else _decode(raw)
    pool.total += total
    pool.confirmed += confirmed
    if lot_day == SLIDING:
        cause = replace(cause, award=key)
    give_confirmed = min(cap, pool.confirmed)
    give_pending = min(cap, pool.total) - give_confirmed
    rebalance(
        moves,
        lot_day,
        (pool.booked_pending, pool.booked_confirmed),
        (give_pending, give_confirmed),
        cause,
    )
    pool.booked_pending, pool.booked_confirmed = give_pending, give_confirmed
    member.facts[key] = _encode(pool)


def rebalance(moves: Posting, lot_day: Day, booked: tuple[int, int], due: tuple[int, int], cause: Cause) -> None:
    """Move a lot's award from what is booked (pending, confirmed) to what is due, confirming before issuing."""
    pending, confirmed = due[0] - booked[0], due[1] - booked[1]
    confirm = min(-pending, confirmed)
    if confirm > 0:
        moves.confirm(lot_day, confirm, cause)
        pending += confirm
        confirmed -= confirm
    if pending:
        moves.pend(lot_day, pending, cause)
    change_award(moves, lot_day, confirmed, cause)


def change_award(moves: Posting, lot_day: Day, points: int, cause: Cause) -> None:
    """Award points in a lot or, negative, claim them there."""
    if points > 0:
        moves.award(lot_day, points, cause)
    elif points < 0:
        moves.claim(lot_day, -points, cause.ref, cause)
