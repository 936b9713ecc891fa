"""Goods that a member has bought and kept, for reviews that are earned only with them (N8).

Goods are kept while an order of the member has a completed line of them that is not refunded in full. An account looks
for them in all its orders when the first such review of these goods comes; from then on each order that has them says
so. An account without such reviews looks for nothing.

SQL: `facts`, `orders_paid_after`, `orders`, `order_lines`.
"""

from __future__ import annotations

import msgspec

from services.kit.calendar import NOT_YET, Day
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, award_of, change_award, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.assessment import kept_goods
from services.ledger.domain.state.fact_keys import goods_key
from services.ledger.domain.state.facts import FactState
from services.ledger.domain.state.orders import Order


class _Review(msgspec.Struct, frozen=True, array_like=True):
    """A review of these goods: its ref, and what it awards while they are kept."""

    ref: str
    points: int
    day: Day
    program: int


class _Goods(msgspec.Struct, array_like=True):
    """The orders with which goods are kept, and the reviews of them that are earned only then."""

    orders: list[str] = []
    reviews: list[_Review] = []


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Goods).decode


def change_review(posting: Posting, key: str, ref: str, after: FactState | None) -> None:
    """Keep a review of goods, or (None) that it is none of theirs any more, and book what that changes."""
    goods = _goods_of(posting, key)
    before = next((each for each in goods.reviews if each.ref == ref), None)
    due = None if after is None else _Review(ref, after.points, after.day, after.program)
    goods.reviews = [each for each in goods.reviews if each.ref != ref] + ([] if due is None else [due])
    if goods.orders:
        replace_award(posting, _standing(posting, before), _standing(posting, due))
    posting.member.facts[key] = _encode(goods)


def keep_goods(posting: Posting, ref: str, order: Order, kept: list[str]) -> None:
    """Keep which reviewed goods an order keeps now, and book the reviews of those that came or went with it."""
    lines = posting.member.lines(ref, order.lines_version)
    skus = sorted({line.sku for line in lines}.union(order.kept_goods))
    posting.member.want_facts(goods_key(sku) for sku in skus)
    now_kept: list[str] = []
    for sku in skus:
        key = goods_key(sku)
        raw = posting.member.fact(key)
        if raw is None:
            continue
        goods = _decode(raw)
        had = bool(goods.orders)
        orders = sorted({*goods.orders, ref} if sku in kept else {*goods.orders} - {ref})
        if sku in kept:
            now_kept.append(sku)
        if orders == goods.orders:
            continue
        goods.orders = orders
        if bool(orders) != had:
            for review in goods.reviews:
                award = _standing(posting, review)
                if award is not None:
                    change_award(posting, award, award.points if orders else -award.points)
        posting.member.facts[key] = _encode(goods)
    order.kept_goods = now_kept


def _goods_of(posting: Posting, key: str) -> _Goods:
    """What is known of goods; if nothing is, they are looked for in all orders of the member."""
    member, now = posting.member, posting.now
    raw = member.fact(key)
    if raw is not None:
        return _decode(raw)
    refs = [ref for _, ref in member.paid_after(NOT_YET)]
    member.want_all_lines(refs)
    goods = _Goods()
    for ref in refs:
        order = member.order(ref)
        program = posting.programs.at(order.paid_at)
        kept = kept_goods(order, member.lines(ref, order.lines_version), program, now)
        found = [sku for sku in kept if goods_key(sku) == key]
        if found:
            goods.orders.append(ref)
            order.kept_goods = sorted({*order.kept_goods, *found})
            member.touched.add(ref)
    goods.orders.sort()
    member.account.details.reviews_goods = True
    return goods


def _standing(posting: Posting, review: _Review | None) -> StandingAward | None:
    if review is None or not review.points:
        return None
    program = posting.programs.by_number[review.program]
    assert program.review is not None
    return award_of(program.review, review.points, Cause(program.review.name, review.ref, review.day, program))
