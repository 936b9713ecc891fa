"""Quotes: what a cart would earn, how much of it points could pay, and the working of both."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from schemas.events.fields import Count, Currency, Id, Money, Quantity, Token
from services.kit.auth import Caller
from services.kit.calendar import Micros, rfc3339
from services.kit.money import decimal_string, minor_units
from services.kit.postgres import Connection
from services.kit.problem import NOT_FOUND, UNAVAILABLE, Problem, kind, responses
from services.ledger.answers import REFUSALS
from services.ledger.api.commands import Body
from services.ledger.api.context import MEMBER_ID, MEMBER_UNKNOWN, Context, iso_day, json_response, unknown_member
from services.ledger.api.explanation import Sum, exact_string, sum_json
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.quote import Award, Cart, NotUsable, Quote
from services.ledger.domain.rules.bounds import MAX_DIGITS, max_amount
from services.ledger.domain.state.budgets import decode_budget
from services.ledger.domain.state.fact_keys import BUDGET
from services.ledger.domain.state.inputs import Line
from services.ledger.reads.history import facts_of
from services.ledger.reads.quotes import quote_for, quote_for_new

OTHER_CURRENCY: Final = kind("other-currency", "Another currency", 422)
CART_TOO_LARGE: Final = kind("cart-too-large", "The cart comes to too much", 422)
TOO_MANY_DECIMALS: Final = kind("too-many-decimals", "More decimals than the currency has", 422)
LINE_TWICE: Final = kind("line-twice", "A line is named twice", 422)
NOT_USABLE: Final = kind("points-not-usable", "The cart cannot be paid with so many points", 409)
INSUFFICIENT, _INSUFFICIENT_DETAIL = REFUSALS["insufficient_points"]

MAX_LINES: Final = 1000


class LineIn(Body):
    """A line of the cart, as the order would have it."""

    line_id: Id
    sku: Id
    category: Id | None = None
    quantity: Quantity
    amount: Money = Field(description="What is owed for the whole line after discounts, before points.")


class CartIn(Body):
    """A cart, with the fields that its order would have when it is paid."""

    member_id: Annotated[str, Field(pattern=f"^{MEMBER_ID.pattern}$")] | None = Field(
        default=None,
        description="Whose cart it is; not needed with a member's token. Without a member: the quote of a first order.",
    )
    currency: Currency
    lines: list[LineIn] = Field(min_length=1, max_length=MAX_LINES)
    shipping: Money = "0"
    tax: Money = "0"
    points_used: Count = Field(default=0, description="Points that are to pay a part of it.")
    channel: Token | None = Field(default=None, description="The channel of its order.")


class AwardOut(BaseModel):
    """What one rule would give once the order is received."""

    rule: str
    points: int
    expires_on: str | None = Field(
        description="The last day to spend them; null: they never expire, or there are none."
    )
    if_budget_lasts: int = Field(
        description="Points that a campaign would add to `points`: at most what its budget has left now."
    )
    sum: Sum | None = Field(description="The working; null where the rule gives a fixed number.")


class UsableOut(BaseModel):
    """How much of the cart points could pay."""

    available: int
    points: int = Field(description="The most that may be used, by minimum, step, and what points can pay for.")
    value: str = Field(description="The value of `points`.")
    payable: str = Field(description="The part of the cart that points can pay for: without what the program excludes.")
    minimum: int
    step: int


class UsedOut(BaseModel):
    """The points that the cart uses."""

    points: int
    value: str


class QuoteOut(BaseModel):
    """A cart priced in points. A quote reserves nothing; a hold does."""

    member_id: str | None
    currency: str
    amount: str = Field(description="The whole cart, before points.")
    tier: str
    program_version: str
    points: int = Field(description="What all rules together would give, for what points do not pay.")
    earns: list[AwardOut]
    usable: UsableOut
    used: UsedOut
    as_of: str


def routes(context: Context) -> APIRouter:
    """POST /v1/quotes"""
    router = APIRouter(tags=["quotes"])
    reader = context.reader()

    @router.post(
        "/v1/quotes",
        response_model=QuoteOut,
        responses=responses(
            MEMBER_UNKNOWN, NOT_FOUND, OTHER_CURRENCY, TOO_MANY_DECIMALS, CART_TOO_LARGE, LINE_TWICE, NOT_USABLE,
            INSUFFICIENT, UNAVAILABLE,
        ),
        summary="What a cart would earn, and how much of it points could pay",
    )  # fmt: skip
    async def quotes(body: CartIn, caller: Caller = reader) -> Response:
        """Nothing is written. The quote equals what is booked if the order is paid now and received later.

        It changes with the member's tier, with a new program version, and when earlier orders of the member change.
        """
        member_id = body.member_id or caller.member
        if member_id is not None:
            caller.require_member(member_id)
        now = context.clock() if member_id is None else context.present(member_id)
        async with context.reads.snapshot() as tx:
            programs = await context.reads.programs.read(tx)
            cart = cart_of(body, programs.at(now))
            try:
                if member_id is None:
                    found: Quote | None = quote_for_new(programs, cart, now)
                else:
                    found = await quote_for(tx, programs, context.shard(member_id), member_id, cart, now)
            except NotUsable as refused:
                raise _not_usable(refused) from None
            if found is not None:
                await _limit_to_budgets(context, tx, programs, found, now)
        if found is None:
            raise unknown_member(str(member_id))
        return json_response({"member_id": member_id, **quote_json(found, cart, programs), "as_of": rfc3339(now)})

    return router


async def _limit_to_budgets(
    context: Context, tx: Connection, programs: ProgramVersions, quote: Quote, now: Micros
) -> None:
    """Quote for a campaign at most what its budget has left at this moment."""
    awards = [award for award in quote.awards if award.if_budget_lasts]
    accounts = [quote.program.order.budgeted[award.rule].account for award in awards]
    states = await facts_of(tx, [(context.shard(account), account, BUDGET) for account in accounts])
    for award, account, state in zip(awards, accounts, states, strict=True):
        left = programs.budget(account, quote.program.number, now) - decode_budget(state).granted
        award.if_budget_lasts = max(min(award.if_budget_lasts, left), 0)


def cart_of(body: CartIn, program: Program) -> Cart:
    """A request's cart in minor units. Raises Problem 422 for what only the program can decide, such as decimals."""
    if body.currency != program.currency:
        raise Problem(OTHER_CURRENCY, f"This program counts in {program.currency}.", field="currency")
    if len({line.line_id for line in body.lines}) < len(body.lines):
        raise Problem(LINE_TWICE, "Name each line once.", field="lines")
    cart = Cart(
        tuple(
            Line(
                line.line_id,
                line.sku,
                line.category,
                str(line.quantity),
                _minor(line.amount, program, f"lines[{number}].amount"),
            )
            for number, line in enumerate(body.lines)
        ),
        _minor(body.shipping, program, "shipping"),
        _minor(body.tax, program, "tax"),
        body.points_used,
        body.channel or "",
    )
    if cart.amount > max_amount(program.decimals):
        raise Problem(
            CART_TOO_LARGE, f"All amounts together have at most {MAX_DIGITS} digits before the point.", field="lines"
        )
    return cart


def _minor(amount: str, program: Program, field: str) -> int:
    try:
        return minor_units(amount, program.decimals)
    except ValueError:
        detail = f"Amounts in {program.currency} have at most {program.decimals} decimals."
        raise Problem(TOO_MANY_DECIMALS, detail, field=field) from None


def _not_usable(refused: NotUsable) -> Problem:
    available, usable, offset = refused.available, refused.usable, refused.program.cash_offset
    if offset is None or refused.wanted > available:
        return Problem(
            INSUFFICIENT, _INSUFFICIENT_DETAIL.format(available=available), field="points_used", usable=usable
        )
    detail = (
        f"Use at least {offset.minimum} points, in steps of {offset.step}, and at most {usable}: "
        f"points pay no more than {exact_string(offset.max_share)} of what they can pay for."
    )
    return Problem(NOT_USABLE, detail, field="points_used", usable=usable)


def quote_json(quote: Quote, cart: Cart, programs: ProgramVersions) -> dict[str, Any]:
    """A quote as the contract has it."""
    program, offset = quote.program, quote.program.cash_offset
    decimals = program.decimals
    return {
        "currency": program.currency,
        "amount": decimal_string(cart.amount, decimals),
        "tier": quote.tier,
        "program_version": program.version,
        "points": sum(award.points for award in quote.awards),
        "earns": [_award_json(award, programs) for award in quote.awards],
        "usable": {
            "available": quote.available,
            "points": quote.usable,
            "value": decimal_string(program.worth(quote.usable), decimals),
            "payable": decimal_string(quote.payable, decimals),
            "minimum": 0 if offset is None else offset.minimum,
            "step": 1 if offset is None else offset.step,
        },
        "used": {
            "points": cart.points_used,
            "value": decimal_string(program.worth(cart.points_used), decimals),
        },
    }


def _award_json(award: Award, programs: ProgramVersions) -> dict[str, Any]:
    return {
        "rule": award.rule,
        "points": award.points,
        "expires_on": iso_day(award.last_day),
        "if_budget_lasts": award.if_budget_lasts,
        "sum": None if award.reason is None else sum_json(award.reason, programs),
    }
