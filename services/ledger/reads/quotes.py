"""Quotes of carts: for a member as stored, or for somebody of whom nothing is known yet."""

from __future__ import annotations

from services.kit.calendar import Micros
from services.kit.kafka import Shard
from services.kit.postgres import Connection
from services.ledger import store
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.quote import CART, Cart, Quote, quote
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.loaded import Loaded, Missing
from services.ledger.domain.state.member import Member
from services.ledger.needs import FRESH
from services.ledger.reads.sql import SQL


async def quote_for(
    tx: Connection, programs: ProgramVersions, shard: Shard, member_id: str, cart: Cart, now: Micros
) -> Quote | None:
    """A cart's quote for a member; None if nothing is known of the member. Raises NotUsable."""
    row = await tx.fetchrow(SQL.account, shard, member_id)
    if row is None or store.account_of(row).details.stranger:
        return None
    loaded = Loaded(orders={CART: None})
    while True:
        try:
            return quote(programs, Member(store.account_of(row), loaded), cart, now)
        except Missing as question:
            await store.load(tx, shard, [(row["account"], loaded, question.needs)])


def quote_for_new(programs: ProgramVersions, cart: Cart, now: Micros) -> Quote:
    """A cart's quote as a first order. Raises NotUsable."""
    return quote(programs, Member(Account(0, ""), FRESH), cart, now)
