"""Who refers whom, and what stands of it (F1 to F4): this member's referral, and the members that it referred.

Of other members the model knows what a referral asks for: since when anything is known of them, and who is told to have
referred them. Their accounts answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from services.kit.calendar import Micros
from tests.model.commands import Referred
from tests.model.days import DAY, local_day
from tests.model.earning import Award, MemberFacts, ProgramAt, rises, rules_on
from tests.model.events import MEMBER, Event
from tests.model.known import Known
from tests.model.lot_days import other_lot
from tests.model.order_facts import Report
from tests.model.orders import Order
from tests.model.program import Program

WITHIN_DAYS = 30


class Due(NamedTuple):
    """A referral that is due: the order that makes it so, since when, and the lot of the referred member's points."""

    referrer: str
    told: Micros
    order: Order
    since: Micros
    lot: date


@dataclass(frozen=True)
class Letter:
    """What one account tells another: a first order stands since `at`; when the referral was told, and it came in."""

    at: Micros
    told: Micros | None
    arrived: Micros


class Referrals:
    """This member's referral, and those of other members whom it referred."""

    def __init__(self, known: Known, versions: Sequence[Program]) -> None:
        self._members = {MEMBER: known}
        self._versions = versions
        self._known_since: dict[str, Micros] = {}
        self._letters: dict[str, Letter] = {}
        # What this member's account told last, and since when its referrer's stands for it.
        self._asked: tuple[str, Micros, str, Micros] | None = None
        self._asked_at: Micros | None = None
        self._granted = False

    # What is known

    def see(self, member: str, now: Micros) -> None:
        """Something of a member itself came in."""
        self._known_since.setdefault(member, now)

    def hear_of_other(self, event: Event, now: Micros) -> str:
        """Take an event of another member."""
        self.see(event["subject"], now)
        other = self._members.setdefault(event["subject"], Known(self._versions))
        return other.refusal(event, now) or other.learn(event, now)

    def hear(self, referred: Referred, now: Micros) -> str:
        """Another account tells of a member that this one referred."""
        if referred.at is None:
            return "known" if self._letters.pop(referred.reference, None) is None else "booked"
        self._letters[referred.reference] = Letter(referred.at, referred.told, now)
        return "booked" if MEMBER in self._known_since else "parked"

    def heard_while_known(self) -> list[Micros]:
        """E3: first orders of members whom this one referred, told of once something was known of this one."""
        since = self._known_since.get(MEMBER)
        letters = self._letters.values()
        return [letter.at for letter in letters if since is not None and since <= letter.arrived]

    def _told(self, member: str) -> tuple[str, Micros] | None:
        known = self._members.get(member)
        return None if known is None else told_referrer(known.member, member, known.program_at)

    def _stands_for(self, referrer: str, member: str, told: Micros | None, asked_at: Micros) -> bool:
        """F3, F1: whether a referrer is known in time, and does not itself name the member as an earlier referrer."""
        park_days = self._members[MEMBER].program_at(asked_at)["points"]["refund"]["park_days"]
        since = self._known_since.get(referrer)
        if since is None or since >= asked_at + park_days * DAY:
            return False
        back = self._told(referrer)
        refers_back = back is not None and back[0] == member and told is not None
        return not (refers_back and back is not None and (back[1], referrer) < (told or 0, member))

    # What it comes to

    def due(self, orders: Mapping[str, Order], now: Micros) -> Due | None:
        """F2: this member's referral, while it has a successful order of the least spend, and no order paid before."""
        told = self._told(MEMBER)
        if told is None or any(order.paid_at < told[1] for order in orders.values()):
            return None
        rising = rises(orders, now, _least_spend)
        if rising is None:
            return None
        order, since, lot = rising
        return Due(*told, order, since, lot)

    def answer(self, orders: Mapping[str, Order], now: Micros) -> bool:
        """Whether the referrer's account, told what stands now, answers something else than before."""
        due, before = self.due(orders, now), (self._granted, self._asked and self._asked[0])
        asked = due and (due.referrer, due.since, due.order.program["version"], due.told)
        if asked != self._asked:
            self._asked, self._asked_at = asked, now
        assert due is None or self._asked_at is not None
        self._granted = due is not None and self._stands_for(due.referrer, MEMBER, due.told, self._asked_at or now)
        return (self._granted, asked and asked[0]) != before

    def own(self, orders: Mapping[str, Order], now: Micros) -> list[Award]:
        """What this member has for having been referred, while its referrer's account stands for it."""
        due = self.due(orders, now)
        if due is None or not self._granted or self._asked is None or due.referrer != self._asked[0]:
            return []
        return [
            Award("member", rule["rule"], due.order.program["version"], due.order.date, due.lot, 0, rule["referred"],
                  about="referral")
            for rule in rules_on(due.order.program, "referral")
        ]  # fmt: skip

    def of_others(self, program_at: ProgramAt) -> list[Award]:
        """What this member has for those whom it referred; with a cap in the lot of the month's end (F3)."""
        awards = []
        for member, letter in self._letters.items():
            program = program_at(letter.at)
            day = local_day(letter.at, program["timezone"])
            for rule in rules_on(program, "referral"):
                if self._stands_for(MEMBER, member, letter.told, letter.arrived):
                    lot = other_lot(program, month_end(day) if "cap" in rule else day)
                    owner = f"referred:{member}"
                    points = rule["referrer"]
                    awards.append(Award(owner, rule["rule"], program["version"], day, lot, 0, points))
        return awards


def told_referrer(facts: MemberFacts, member: str, program_at: ProgramAt) -> tuple[str, Micros] | None:
    """F1: who was first told to have referred a member, and when: by `registered`, or some days later at most."""
    registered = min((report.at for report in facts.registered), default=None)
    if registered is None:
        return None
    for report in sorted(facts.profile, key=Report.rank):
        program, referrer = program_at(report.at), report.data.get("referred_by")
        for rule in rules_on(program, "referral"):
            zone = program["timezone"]
            last = local_day(registered, zone) + timedelta(days=rule.get("within_days", WITHIN_DAYS))
            if referrer not in (None, member) and local_day(report.at, zone) <= last:
                return str(referrer), report.at
    return None


def month_end(day: date) -> date:
    """The last day of a day's month."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _least_spend(program: Program) -> str | None:
    """The least spend of an order that makes a referral due; None: none of this version's does."""
    return next((rule.get("min_spend", "0.01") for rule in rules_on(program, "referral")), None)
