"""Why an entry was booked (N4): its event, rule, program version and tier, the working of the sum, and its lot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any, Final

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from services.kit.auth import Caller
from services.kit.calendar import Day, rfc3339
from services.kit.money import decimal_string
from services.kit.problem import UNAVAILABLE, Problem, kind, responses
from services.ledger.api.context import MEMBER_UNKNOWN, Context, MemberPath, iso_day, json_response
from services.ledger.api.entries import EntryOut, entry_json
from services.ledger.api.inputs import input_json
from services.ledger.domain.chain import Record
from services.ledger.domain.posting.expiry import EXPIRY
from services.ledger.domain.program.earning import OrderRule
from services.ledger.domain.program.program import Program, ProgramVersions
from services.ledger.domain.rules.profile import BIRTHDAY_TRUE_UP
from services.ledger.domain.rules.tiers import TRUE_UP
from services.ledger.domain.state.entries import EntryKind, last_day, slides
from services.ledger.domain.state.outcome import AwardReason
from services.ledger.domain.state.refs import order_of
from services.ledger.reads import history
from services.ledger.reads.rows import EntryRow

ENTRY_UNKNOWN: Final = kind("entry-unknown", "No such entry", 404)

_VERBS: Final[dict[EntryKind, str]] = {
    "pending": "will be spendable once the order is completed",
    "confirmed": "became spendable",
    "earned": "were awarded",
    "clawed_back": "were taken back",
    "forgiven": "were to be taken back, but had expired, and so were let go",
    "redeemed": "were spent",
    "returned": "came back",
    "debt_paid": "paid what was owed",
    "expired": "expired",
    "held": "were set aside",
    "released": "were set aside no longer",
    "transferred": "came from another account",
}


class Event(BaseModel):
    """The event, command or due time that caused the entry."""

    type: str
    source: str
    id: str
    time: str
    arrived_at: str
    outcome: str
    detail: str


class Band(BaseModel):
    """The band of the table that the order was in."""

    up_to: str | None = Field(description="Its upper edge; null: no upper edge.")
    exclusive: bool = Field(description="True: an amount of exactly `up_to` is in the next band.")
    rate: str = Field(description="Points for one unit of the currency.")


class GoodsOut(BaseModel):
    """A part of the basis, and the campaigns for certain goods that hold for it."""

    campaigns: list[str]
    amount: str


class Sum(BaseModel):
    """What the rule gives for the fact as it was then, before a cap. The entry books the difference to what was booked.

    For a campaign with a budget: what the order would earn less without the campaign.
    """

    tier: str | None = Field(description="The tier that counted: the last one effective before the order was paid.")
    amount: str | None = Field(description="What is left of the eligible lines, net of points used.")
    basis: str | None = Field(
        description="The amount that decides the band: `amount`, or under proportional refunds what it was before them."
    )
    units: int | None = Field(description="For other facts: units, days in a row, or fields.")
    band: Band | None
    each_full: str | None = Field(description="Only full amounts of so much earn, at the band's rate; null: all does.")
    multipliers: dict[str, str] = Field(description="The tier's, then those of the rules that held for the order.")
    by_goods: list[GoodsOut] = Field(description="The parts of the basis, where a campaign is for certain goods.")
    stacking: str | None = Field(description="How several multipliers combine: multiply, add or max.")
    exact: str | None = Field(
        description="Amount × rate × multipliers, before rounding; in marginal bands each part at its own rate."
    )
    rounding: str | None
    points: int
    cap: int | None = Field(description="The most that it gives a member on a local day, or for referrals in a month.")
    granted: int | None = Field(
        description="How many of these points the campaign's budget has given so far; null: no budget."
    )


class ExplanationOut(BaseModel):
    """Everything that explains one entry."""

    entry: EntryOut
    says: str = Field(description="The explanation in plain English.")
    event: Event
    program: dict[str, str] = Field(description="The version of the rule, and since when it is in force.")
    sum: Sum | None = Field(description="Null where nothing is computed: points that expire, are spent, or pay debt.")
    taken_later: list[EntryOut] = Field(description="The first 100 entries that later took points from the same lot.")


def routes(context: Context) -> APIRouter:
    """GET /v1/members/{member_id}/entries/{entry}/explanation"""
    router = APIRouter(tags=["members"])
    reader = context.reader()

    @router.get(
        "/v1/members/{member_id}/entries/{entry}/explanation",
        response_model=ExplanationOut,
        responses=responses(MEMBER_UNKNOWN, ENTRY_UNKNOWN, UNAVAILABLE),
        summary="Why an entry was booked",
    )
    async def explanation(
        member_id: MemberPath,
        entry: str = Path(pattern=r"^[0-9]{1,18}\.[0-9]{1,4}$", description="`version.line`."),
        caller: Caller = reader,
    ) -> Response:
        """All of it is recomputed from the journal and the program version that was in force."""
        return json_response(await _explanation_json(context, member_id, entry))

    return router


async def _explanation_json(context: Context, member_id: str, entry: str) -> dict[str, Any]:
    """The explanation of an entry (`version.line`). Raises Problem 404."""
    version, line = map(int, entry.split("."))
    async with context.reads.snapshot() as tx:
        shard, account = await context.account(tx, member_id)
        number, slid = account.number, account.details.sliding_last_days
        programs = await context.reads.programs.read(tx)
        journal = await history.journal_row(tx, shard, number, version)
        booked = await history.entries_of(tx, shard, number, [version])
        row = next((each for each in booked if each.line == line), None)
        if journal is None or row is None:
            raise Problem(ENTRY_UNKNOWN, f"Member {member_id} has no entry {entry}.")
        records = await history.records_about(tx, shard, number, row)
        later = await history.taken_later(tx, shard, number, row) if row.lot_day else []
    program = programs.by_number[row.program]
    cause = input_json(member_id, journal)
    reason = reason_of(row, program, records)
    return {
        "entry": entry_json(row, programs, slid),
        "says": describe(row, program, reason, slid),
        "event": {name: cause[name] for name in Event.model_fields},
        "program": {"version": program.version, "effective_from": rfc3339(program.effective_from)},
        "sum": None if reason is None else sum_json(reason, programs),
        "taken_later": [entry_json(each, programs, slid) for each in later],
    }


def reason_of(row: EntryRow, program: Program, records: list[Record]) -> AwardReason | None:
    """How the rule came to its points, from the record of the entry's input or of the last one before that has it.

    A due time only confirms points that an earlier input explains. `records` are the latest first.
    """
    is_true_up = row.rule in (TRUE_UP, BIRTHDAY_TRUE_UP)
    rule = program.order.name if is_true_up else row.rule
    about = {row.ref if is_true_up or row.ref.startswith("streak:") else ""}
    if rule in program.order.budgeted:
        # A campaign with a budget keeps its own name on its entries, also where the order was trued up.
        about.add(row.ref)
    for record in records:
        for reason in record.reasons:
            if reason.rule == rule and reason.ref in about:
                return reason
    return None


def sum_json(reason: AwardReason, programs: ProgramVersions) -> dict[str, Any]:
    """The working of a reason as the contract has it, computed again."""
    program = programs.by_number[reason.program]
    rule, decimals = program.order, program.decimals
    result = {"points": reason.points, "cap": reason.cap, "granted": reason.granted}
    if not reason.tier:
        return {
            "tier": None, "amount": None, "basis": None, "units": None if reason.granted is not None else reason.amount,
            "band": None, "each_full": None, "multipliers": {}, "by_goods": [], "stacking": None, "exact": None,
            "rounding": None, **result,
        }  # fmt: skip
    basis = reason.basis or reason.amount
    earn_rate = rule.earn_rate(reason.tier, reason.multipliers, reason.by_goods)
    step = earn_rate.rate(basis).band
    return {
        "tier": reason.tier,
        "amount": decimal_string(reason.amount, decimals),
        "basis": decimal_string(basis, decimals),
        "units": None,
        "band": {
            "up_to": None if step.upto is None else decimal_string(step.upto, decimals),
            "exclusive": step.exclusive,
            "rate": exact_string(step.rate),
        },
        "each_full": decimal_string(rule.each_full, decimals) if rule.each_full > 1 else None,
        "multipliers": {name: exact_string(factor) for name, factor in _factors(reason, rule).items()},
        "by_goods": [
            {"campaigns": list(campaigns), "amount": decimal_string(amount, decimals)}
            for campaigns, amount in reason.by_goods
        ],
        "stacking": rule.stacking,
        "exact": exact_string(earn_rate.exact(reason.amount, basis)),
        "rounding": rule.rounding,
        **result,
    }


def exact_string(number: Fraction) -> str:
    """An exact number as text: `1.5`, or `4/3` where the decimals do not end."""
    places = 0
    while number.denominator != 1 and places < 12:
        places += 1
        if (number * 10**places).denominator == 1:
            digits = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
            return f"{'-' if number < 0 else ''}{digits[:-places]}.{digits[-places:]}"
    return str(number)


def describe(row: EntryRow, program: Program, reason: AwardReason | None, slid: Sequence[Day] = ()) -> str:
    """An entry in plain English. `slid` are the last days of the account's lots that slide (E3)."""
    day = date.fromordinal(row.day).isoformat()
    if row.rule == EXPIRY:
        return f"{row.points} points expired: their last day was {day}."
    order = order_of(row.ref)
    about = f"order {order[1]}" if order is not None else row.ref
    sentences = [
        f"{row.points} points {_verb(row)}, for {about} on {day}: rule {row.rule} of program {program.version}."
    ]
    if reason is not None:
        sentences.append(_describe_reason(reason, program))
    last = iso_day(last_day(row.lot_day, slid))
    if last is not None and row.credit in ("pending", "available"):
        longer = ", and longer with each activity until then" if slides(row.lot_day) else ""
        sentences.append(f"They can be spent until the end of {last}{longer}.")
    return " ".join(sentences)


def _verb(row: EntryRow) -> str:
    if row.debit == "written_off":
        return "were to be taken back, but were not there, and are written off"
    if row.debit == "debt":
        return f"were not there to be {'spent' if row.kind == 'redeemed' else 'taken back'}, and are owed"
    if row.credit == "debt" and row.kind == "returned":
        return "came back and cancelled what the order still owed"
    if row.credit == "in_transit":
        return "left for another account"
    return _VERBS[row.kind]


def _describe_reason(reason: AwardReason, program: Program) -> str:
    if reason.granted is not None:
        return (
            f"Without this campaign the order would earn {reason.points} points less; "
            f"of these the campaign's budget has given {reason.granted} so far."
        )
    if reason.rule != program.order.name:
        is_referral = program.referral is not None and reason.rule == program.referral.name
        period = "month" if is_referral else "day"
        cap = f", at most {reason.cap} a {period}" if reason.cap is not None else ""
        return f"The rule gives {reason.points} points for it{cap}."
    rule, amount = program.order, decimal_string(reason.amount, program.decimals)
    basis = reason.basis or reason.amount
    if reason.amount <= 0 or basis < rule.min_spend:
        return f"What is left of the order's eligible lines, {amount} {program.currency}, earns nothing."
    factors = _describe_factors(reason, rule)
    earn_rate = rule.earn_rate(reason.tier, reason.multipliers, reason.by_goods)
    band, exact = earn_rate.rate(basis), exact_string(earn_rate.exact(reason.amount, basis))
    rate = exact_string(band.band.rate)
    rounded = "" if exact == str(reason.points) else f", rounded ({rule.rounding}) to {reason.points}"
    if rule.each_full > 1:
        each, full = decimal_string(rule.each_full, program.decimals), basis // rule.each_full
        of_each = exact_string(band.band.rate * rule.each_full / rule.unit)
        how = f"{of_each} points for each full {each}, {full} times{factors}: {exact}"
    elif band.offset:
        how = f"points step by step, {rate} a unit in the last{factors}: {exact}"
    else:
        how = f"{rate} points a unit: {amount} × {rate}{factors} = {exact}"
    left = f" left of {decimal_string(basis, program.decimals)}" if reason.basis else ""
    return (
        f"The eligible part of the order, {amount} {program.currency}{left}, earns {how}{rounded}; "
        "this entry is what that changed."
    )


def _factors(reason: AwardReason, rule: OrderRule) -> dict[str, Fraction]:
    """Every multiplier of the order, the tier's first."""
    return {f"tier {reason.tier}": rule.tier_factor(reason.tier), **rule.factors(reason.multipliers)}


def _describe_factors(reason: AwardReason, rule: OrderRule) -> str:
    whole = rule.earn_rate(reason.tier, reason.multipliers, reason.by_goods).multiplier
    factors = {name: factor for name, factor in _factors(reason, rule).items() if factor != 1}
    if whole == 1:
        return ""
    if reason.by_goods:
        each = ", ".join(
            f"{exact_string(factor)} for {'its goods of ' if name in rule.limited else ''}{name}"
            for name, factor in factors.items()
        )
        return f" × {exact_string(whole)} (on average: {each})"
    if rule.stacking == "multiply" or len(factors) < 2:
        return "".join(f" × {exact_string(factor)} for {name}" for name, factor in factors.items())
    each = ", ".join(f"{exact_string(factor)} for {name}" for name, factor in factors.items())
    return f" × {exact_string(whole)} ({'the largest of' if rule.stacking == 'max' else 'added up:'} {each})"
