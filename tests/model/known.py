"""What is known of a member: every fact, and the time it counts from (O1, O2, O3, O9, R11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from services.kit.calendar import NOT_YET, Micros
from tests.model import bounds
from tests.model.contradictions import AGAINST_EACH_OTHER
from tests.model.days import DAY, MINUTE, instant, local_day, midnight_after
from tests.model.earning import MemberFacts, TierHistory, rules_on
from tests.model.events import Event
from tests.model.lot_days import expiry_day, order_day
from tests.model.order_facts import Facts, Report
from tests.model.orders import Order, order_key, read
from tests.model.program import Program

MAX_EVENT_AGE = 400 * DAY
IN_FUTURE = 5 * MINUTE


class Known:
    """All facts that are known of one member, under one program or several versions of it.

    It remembers nothing but facts: what they come to is read from them each time.
    """

    def __init__(self, program: Program | Sequence[Program]) -> None:
        versions = [program] if isinstance(program, dict) else list(program)
        self.versions = sorted(versions, key=lambda version: instant(version["effective_from"]))
        self.zone = str(self.versions[0]["timezone"])
        self.member = MemberFacts()
        self.tier_history: TierHistory = []
        self.parked_since: dict[tuple[str, str], Micros] = {}
        """When each refund whose order is unknown came in, by (order, refund_id)."""
        self._orders: dict[str, Facts] = {}
        self._seen: dict[tuple[str, ...], tuple[str, Any]] = {}
        self._newest: dict[str, Micros] = {}
        self._tier_version = (-1, -1)
        self._erased_at = NOT_YET
        self._registered = [NOT_YET]

    def program_at(self, at: Micros) -> Program:
        """The version in force at a business time; the first covers all earlier times."""
        begun = [version for version in self.versions if instant(version["effective_from"]) <= at]
        return begun[-1] if begun else self.versions[0]

    def refusal(self, event: Event, now: Micros) -> str | None:
        """O1 and the contract's limits: what never becomes an input."""
        at = instant(event["time"])
        if event["type"].startswith("commerce."):
            if at < now - MAX_EVENT_AGE:
                return "too_late"
            if at > now + IN_FUTURE:
                return "in_future"
        if event["type"] == "commerce.order.paid.v1" and bounds.of_order(event["data"]) >= bounds.ORDER:
            return "out_of_range"
        name = (event["subject"], event["source"], event["id"], str(at))
        payload = (event["type"], _in_one_spelling(event["data"]))
        if name in self._seen:
            return "known" if self._seen[name] == payload else "conflict"
        self._seen[name] = payload
        is_fact = event["type"].startswith("commerce.") or event["type"] == "loyalty.tier.enrolled.v1"
        return "of_an_erased_member" if is_fact and at <= self._erased_at else None

    @property
    def is_erased(self) -> bool:
        """Z1: whether the member asked to be forgotten and has not registered since."""
        return max(self._registered) < self._erased_at

    def learn(self, event: Event, now: Micros) -> str:
        """Add a fact to what is known; `booked` if that changes it, `known` or `parked` if not."""
        at = instant(event["time"])
        data, type_ = event["data"], event["type"]
        _, group, word, _ = type_.split(".")
        if group == "tier":
            return self._learn_tiers(event)
        if group == "order":
            return self._learn_order(event, word, now)
        if word == "erased":
            self._erased_at = max(self._erased_at, at)
            return "booked"
        if word == "registered":
            self._registered.append(at)
        kind = {"signed_in": "sign-in", "published": "review", "recorded": "activity"}.get(word, "profile")
        before = self.member.holding(self.zone)
        if word == "removed":
            self.member.removed.add(data["review_id"])
        elif word == "withdrawn":
            self.member.withdrawn.add((data["activity"], data["activity_id"]))
        else:
            report = Report(self._counts_from(kind, at), event["source"], event["id"], data)
            facts = {
                "sign-in": self.member.signed_in,
                "review": self.member.published,
                "activity": self.member.activities,
                "profile": self.member.profile,
            }[kind]
            facts.append(report)
            if word == "registered":
                self.member.enrolled.append(report)
                self.member.registered.append(report)
        return "booked" if self.member.holding(self.zone) != before else "known"

    def repair_refusal(self, day: str, now: Micros, offer: dict[str, Any]) -> str | None:
        """D4: whether a day lies within the days of the offer, was missed and not bought yet."""
        missed, today = date.fromisoformat(day), local_day(now, self.zone)
        if not timedelta() < today - missed <= timedelta(days=offer["within_days"]):
            return "day_out_of_reach"
        signed_in = {local_day(report.at, self.zone) for report in self.member.signed_in}
        return "day_not_missed" if missed in signed_in or missed in self.member.repaired else None

    def repair_streak(self, day: str) -> None:
        """D4: a missed day counts for the streak."""
        bought = date.fromisoformat(day)
        start = midnight_after(bought - timedelta(days=1), self.zone)
        self.member.repaired[bought] = Report(start, "", f"made-up:{day}", {})

    def _learn_order(self, event: Event, word: str, now: Micros) -> str:
        data = event["data"]
        key = order_key(data.get("shop") or "", data["order_id"])
        facts = self._orders.setdefault(key, Facts(data["order_id"], data.get("shop") or ""))
        order = self._read(key)
        before = order and _facts_of(order)
        at = instant(event["time"])
        if word == "paid":
            at = self._counts_from("order", at)
        reports: list[Report] = getattr(facts, word)
        reports.append(Report(at, event["source"], event["id"], data, instant(event["time"])))
        order = self._read(key)
        if order is None:
            if word == "refunded":
                self.parked_since.setdefault((key, data["refund_id"]), now)
            for refund_id in facts.failed():
                self.parked_since.pop((key, refund_id), None)
            return "parked"
        self.parked_since = {name: at for name, at in self.parked_since.items() if name[0] != key}
        return "booked" if before != _facts_of(order) else "known"

    def _learn_tiers(self, event: Event) -> str:
        """The last (member_version, event_no) counts; each brings the whole history (T1)."""
        data = event["data"]
        version = (data["member_version"], data["event_no"])
        if version <= self._tier_version:
            return "known"
        self._tier_version = version
        self.tier_history = [(instant(one["effective_at"]), one["tier"]) for one in data["history"]]
        if event["type"] == "loyalty.tier.enrolled.v1":
            since = instant(data["effective_at"])
            self.member.enrolled.append(Report(since, event["source"], event["id"], data))
        return "booked"

    def _counts_from(self, kind: str, at: Micros) -> Micros:
        """O9: how far back a fact may reach: `max_lateness_days` behind the newest of its kind."""
        newest = self._newest.get(kind, at)
        most = self.program_at(at)["points"]["max_lateness_days"]
        if most not in (None, "none") and newest - at > most * DAY:
            at = newest
        self._newest[kind] = max(newest, at)
        return at

    def active_until(self, referred: Sequence[Micros], *commands: Micros) -> list[date]:
        """E3: until when each thing the member did keeps points alive, under `sliding`; a refund is no activity.

        `referred` are the first orders of members whom this one referred.
        """
        member = self.member
        others = [*member.signed_in, *member.published, *member.activities, *member.profile, *member.enrolled]
        first = [at for at in referred if rules_on(self.program_at(at), "referral")]
        orders = [report for facts in self._orders.values() for report in facts.paid]
        deeds: list[tuple[Callable[[Program, date], date], Micros]]
        deeds = [(order_day, report.at) for report in orders]
        deeds += [(expiry_day, at) for at in (*(report.at for report in others), *first, *commands)]
        return [
            rule(program, local_day(at, self.zone))
            for rule, at in deeds
            for program in [self.program_at(at)]
            if program["points"]["expiry"]["kind"] == "sliding"
        ]

    def _read(self, key: str) -> Order | None:
        return read(self._orders[key], self.program_at)

    def orders(self) -> dict[str, Order]:
        """The orders whose `paid` is known, by paid time."""
        known = [order for key in self._orders if (order := self._read(key)) is not None]
        return {order.key: order for order in sorted(known, key=lambda order: (order.paid_at, order.key))}


def _in_one_spelling(data: Any) -> Any:
    """O12: amounts and quantities are numbers, however they are spelled: "1", 1 and "1.0" are the same."""
    if isinstance(data, list):
        return [_in_one_spelling(each) for each in data]
    if not isinstance(data, dict):
        return data
    numbers = ("quantity", "units", "amount", "shipping", "tax", "points_value")
    return {name: Fraction(value) if name in numbers else _in_one_spelling(value) for name, value in data.items()}


def _facts_of(order: Order) -> tuple[Any, ...]:
    """What an order's facts come to, whatever event reported them: the same again is `known` (O2)."""
    lines = [line.line_id for line in order.goods()]
    never_due = [order.completed_at(line, NOT_YET) for line in order.goods()]
    dues = [order.due_at(line) for line in order.goods()]
    names = {report.data.get(name) for report in order.facts.paid for name in ("hold_id", "redemption_id")}
    paid = (order.paid_at, order.lines, order.points_used, names, lines)
    reinstated = max((report.at for report in order.facts.reinstated), default=None)
    undone = (reinstated, order.facts.failed())
    return (*paid, order.cancelled_at, undone, order.refunds, never_due, dues, order.alarms - AGAINST_EACH_OTHER)
