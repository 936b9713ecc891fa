"""Facts that earn once for their key, reviews and activities: of several events about one, the earliest holds (O2).

An activity may earn once for the thing that it is about, whatever the ids; what is removed or withdrawn stays so (N7).

SQL: `facts`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import msgspec
from msgspec import structs

from services.kit.calendar import Day, Micros
from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.awards import StandingAward, award_of, replace_award
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.fact_rules import FactRule
from services.ledger.domain.program.program import Program
from services.ledger.domain.rules.bought import change_review
from services.ledger.domain.state.fact_keys import GOODS, goods_key, item_key
from services.ledger.domain.state.facts import FactState, decode_fact, encode_fact
from services.ledger.domain.state.input_base import Input
from services.ledger.domain.state.outcome import AwardReason, Outcome

RuleOf = Callable[[Program], FactRule | None]
"""A program version's rule for one kind of fact; None where it has none."""


class FactEvent(NamedTuple):
    """Which fact an event is about: its kind (O9), its key, its ref, the units it counts (a decimal string), and the
    goods it is about, if any."""

    kind: int
    key: str
    ref: str
    units: str = "1"
    sku: str = ""


def record_fact(posting: Posting, input_: Input, event: FactEvent, rule_of: RuleOf) -> Outcome:
    """Keep a fact and book its award, or the difference if it was known from an event that counts from later (O2).

    Of facts about one thing the award is the thing's, where the rule says so (N7).
    """
    member, programs = posting.member, posting.programs
    at = member.account.count_from(event.kind, input_.at, programs.at(input_.at).max_lateness)
    state = decode_fact(member.fact(event.key))
    if state.at and (state.at, state.source, state.id) <= (at, input_.source, input_.id):
        return Outcome("known", "this fact is told already")
    program = programs.at(at)
    rule = rule_of(program)
    outcome = Outcome("booked")
    points = 0 if state.removed or rule is None else rule.award(event.units)
    if rule is not None:
        units = int(Fraction(event.units))
        outcome.reasons.append(AwardReason(rule.name, program.number, "", units, points, rule.cap))
    item = "" if rule is None or state.removed else _item_of(rule, event.sku)
    day = program.calendar.day_of(at)
    after = FactState(at, input_.source, input_.id, state.removed, points, day, program.number, item)
    change_fact(posting, event, state, after, rule_of)
    return outcome


def _item_of(rule: FactRule, sku: str) -> str:
    """The key of what has the award of a fact instead of the fact itself (N7, N8)."""
    if rule.verified:
        return goods_key(sku)
    return item_key(rule.name, sku) if rule.once_per_item else ""


def remove_fact(posting: Posting, event: FactEvent, rule_of: RuleOf) -> bool:
    """Claw back a fact's award, for good, also before the fact is known (N3, N7); False if it is removed already."""
    state = decode_fact(posting.member.fact(event.key))
    if state.removed:
        return False
    after = structs.replace(state, removed=True, points=0, item="")
    change_fact(posting, event, state, after, rule_of)
    return True


def change_fact(posting: Posting, event: FactEvent, before: FactState, after: FactState, rule_of: RuleOf) -> None:
    """Keep what is now known of a fact, and book the difference between the awards of before and after."""
    replace_award(
        posting, _standing(posting, before, event.ref, rule_of), _standing(posting, after, event.ref, rule_of)
    )
    for item in sorted({before.item, after.item} - {""}):
        now = after if after.item == item else None
        if item.startswith(GOODS):
            change_review(posting, item, event.ref, now)
        else:
            _change_item(posting, item, event, now, rule_of)
    posting.member.facts[event.key] = encode_fact(after)


def _change_item(posting: Posting, item: str, event: FactEvent, after: FactState | None, rule_of: RuleOf) -> None:
    """N7: of all facts about one thing the earliest has the award; None: this fact is no longer one of them."""
    raw = posting.member.fact(item)
    facts = [] if raw is None else _decode_item(raw)
    booked = _of_item(posting, facts, rule_of)
    facts = [each for each in facts if each.ref != event.ref]
    if after is not None:
        facts.append(_ItemFact(after.at, after.source, after.id, event.ref, after.points, after.day, after.program))
        facts.sort(key=_rank)
    replace_award(posting, booked, _of_item(posting, facts, rule_of))
    posting.member.facts[item] = _encode_item(facts)


class _ItemFact(msgspec.Struct, frozen=True, array_like=True):
    """One of the facts about a thing: its event, its ref, and what it would award by itself."""

    at: Micros
    source: str
    id: str
    ref: str
    points: int
    day: Day
    program: int


_encode_item = msgspec.msgpack.Encoder().encode
_decode_item = msgspec.msgpack.Decoder(list[_ItemFact]).decode


def _rank(fact: _ItemFact) -> tuple[Micros, str, str]:
    return fact.at, fact.source, fact.id


def _of_item(posting: Posting, facts: list[_ItemFact], rule_of: RuleOf) -> StandingAward | None:
    """The award of a thing: that of the first of the facts about it."""
    if not facts:
        return None
    first = facts[0]
    state = FactState(points=first.points, day=first.day, program=first.program)
    return _standing(posting, state, first.ref, rule_of)


def _standing(posting: Posting, state: FactState, ref: str, rule_of: RuleOf) -> StandingAward | None:
    """The award that a fact's state stands for; None where it awards nothing, or its thing has the award."""
    if not state.points or state.item:
        return None
    program = posting.programs.by_number[state.program]
    rule = rule_of(program)
    assert rule is not None
    return award_of(rule, state.points, Cause(rule.name, ref, state.day, program))
