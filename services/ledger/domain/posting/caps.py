"""Caps as pools (N3): what a rule gives a member on one local day is min(cap, sum of the uncapped awards that stand).
The cap of referrals is a calendar month's (F3).

A day on which another program version begins has a pool for each version: their awards could be in two lots and under
two caps. Each fact books the change of that total, which may differ from its own award: a refund or a removed review
frees the cap for the others. Capped points are in the day's lot.

SQL: `facts`.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.kit.calendar import Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.state.entries import SLIDING
from services.ledger.domain.state.fact_keys import cap_key


class CapPool(msgspec.Struct, array_like=True):
    """Uncapped awards of one rule, program version and day (`total`, of it `confirmed`), and what is booked of them."""

    total: int = 0
    confirmed: int = 0
    booked_pending: int = 0
    booked_confirmed: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CapPool).decode


class Limit(NamedTuple):
    """The pool that caps an award, by its key, and the cap."""

    key: str
    cap: int


def limit_of_day(rule: str, cap: int, cause: Cause) -> Limit:
    """The pool of a rule, of the day and the program version of a cause."""
    return Limit(cap_key(rule, cause.program.number, cause.day), cap)


def change_pool(posting: Posting, limit: Limit, lot_day: Day, change: tuple[int, int], cause: Cause) -> None:
    """Change the uncapped sums of a pool, and book what that changes.

    `change` is what the total changes by, and what the confirmed part of it changes by.
    """
    member = posting.member
    key, cap = limit
    raw = member.fact(key)
    pool = CapPool() if raw is None else _decode(raw)
    pool.total += change[0]
    pool.confirmed += change[1]
    if lot_day == SLIDING:
        cause = cause._replace(award=key)
    confirmed = min(cap, pool.confirmed)
    pending = min(cap, pool.total) - confirmed
    posting.rebalance(lot_day, (pool.booked_pending, pool.booked_confirmed), (pending, confirmed), cause)
    pool.booked_pending, pool.booked_confirmed = pending, confirmed
    member.facts[key] = _encode(pool)
