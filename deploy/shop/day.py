"""A generated shop's day: its last weeks up to this moment, as the events its backend publishes.

All events are a pure function of (seed, members, today, currency, zone); `now` only cuts off those that have not
happened yet. So publishing the same day again changes nothing, and publishing it later adds what happened since. Ids
are visibly synthetic and no person is invented: members are called `Member 0001`, mail goes to example.com,
telephone numbers are from the range that is kept free for fiction.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from deploy.shop.basket import GIFT_CARD, Line, draw_lines
from deploy.shop.events import Event, cloud_event
from services.kit.calendar import MICROS_PER_SECOND, Calendar, Day, Micros, calendar_of, day_from, later
from services.kit.money import decimal_string, exponent

SOURCE = "/shop/backend"
SPAN_DAYS = 15
"""How many days the story covers: long enough for streaks and received orders, short enough that no order falls
due (15 days after it was shipped) before the rest of its story has arrived."""
POINTS_PER_UNIT = 100
"""Points that pay one unit of the currency, as the shop's checkout reckons."""

HOUR: Final = 3_600 * MICROS_PER_SECOND
DAY: Final = 24 * HOUR

# 555-0100 to 555-0199 of a North American area code belong to nobody. No mainland Chinese range is kept free.
_AREA_CODES = ("202", "212", "213", "303", "305", "312", "404", "415", "503", "617")
_NAMES = {"zh-CN": "会员 {:04d}", "zh-TW": "會員 {:04d}", "en": "Member {:04d}"}
_ENDINGS = {
    "kept": 66,
    "refunded": 14,
    "refunded_early": 5,
    "cancelled": 5,
    "cancelled_late": 3,
    "unconfirmed": 7,
}


def shop_day(
    *, seed: int, members: int, today: date, now: Micros, currency: str = "CNY", zone: str = "Asia/Shanghai"
) -> list[Event]:
    """The events to publish, in the order they arrive: by business time, with a little disorder."""
    story = [_Member(seed, number, today, currency, calendar_of(zone)).live() for number in range(1, members + 1)]
    events = sorted((event for diary in story for event in diary.events), key=lambda event: event.at)
    overtaking = [pair for diary in story for pair in diary.refunds]
    events = _disorder(events, overtaking, random.Random(f"{seed}:{today}:disorder"))
    return [event for event in events if event.at <= now]


def _disorder(events: list[Event], refunds: list[tuple[Event, Event]], rng: random.Random) -> list[Event]:
    """Let some refunds overtake their orders and some records arrive twice, as they do."""
    for paid, refund in sorted(refunds, key=lambda pair: pair[1].at)[::12]:
        events.remove(refund)
        events.insert(events.index(paid), refund)
    for _ in range(1 + len(events) // 200):
        place = rng.randrange(len(events))
        events.insert(rng.randint(place + 1, len(events)), events[place])
    return events


@dataclass(slots=True)
class _Order:
    """What drawing the later events of an order needs to know of it."""

    order_id: str
    lines: list[Line]
    paid_at: Micros
    paid: Event
    completed_at: Micros | None = None
    points_at_least: int = 0
    """What it earns under any program that gives a point a unit; 0 once it is sent back or used up."""


class _Member:
    """One member's last weeks."""

    def __init__(self, seed: int, number: int, today: date, currency: str, calendar: Calendar) -> None:
        self.id = f"m-{number:04d}"
        self.seed = seed
        self.number = number
        self.date = today
        self.today = day_from(today)
        self.first_day = Day(self.today - SPAN_DAYS + 1)
        self.currency = currency
        self.decimals = exponent(currency)
        self.calendar = calendar
        self.rng = random.Random(f"{seed}:{today}:{number}")
        self.events: list[Event] = []
        self.refunds: list[tuple[Event, Event]] = []
        """Orders paid, each with a refund of it."""

    def live(self) -> _Member:
        """Draw all events of this member."""
        joined = self.first_day
        if self.rng.random() < 0.9:
            joined = Day(joined + self.rng.randrange(SPAN_DAYS))
            self._join(joined)
        self._sign_in(joined)
        self._play(joined)
        self._order(joined)
        return self

    def _join(self, day: Day) -> None:
        at = self._at(day)
        locale = self.rng.choices(("zh-CN", "zh-TW", "en"), (70, 15, 15))[0]
        birthday = date(1960 + self.rng.randrange(45), 1 + self.rng.randrange(12), 1 + self.rng.randrange(28))
        area, line = _AREA_CODES[self.number // 100 % len(_AREA_CODES)], self.number % 100
        contact = {
            "phone": f"+1{area}55501{line:02d}",
            "email": f"{self.id}@example.com",
            "birthday": birthday.isoformat(),
        }
        known = {field: value for field, value in contact.items() if self.rng.random() < 0.75}
        profile = {
            "name": _NAMES[locale].format(self.number),
            "locale": locale,
            "timezone": self.calendar.zone,
            **known,
        }
        self._emit("commerce.member.registered.v1", "registered", at, profile)
        if len(known) < len(contact) and self.rng.random() < 0.5:
            missing = {field: value for field, value in contact.items() if field not in known}
            self._emit("commerce.profile.updated.v1", "profile-completed", self._after(at, DAY), missing)
        for channel in ("sms", "email"):
            if self.rng.random() < 0.6:
                consent = {
                    "channel": channel,
                    "class": "notice",
                    "granted": True,
                    "evidence": "checkbox at joining",
                }
                consent_at = later(at, 60 * MICROS_PER_SECOND)
                self._emit("commerce.consent.changed.v1", f"consent-{channel}", consent_at, consent)
        if self.rng.random() < 0.4:
            device = {"device_id": f"{self.id}-phone", "platform": "android", "token": f"token-{self.id}"}
            self._emit("commerce.device.registered.v1", "device", self._after(at, HOUR), device)

    def _sign_in(self, joined: Day) -> None:
        """A fifth comes every day, half now and then, the others never."""
        habit = self.rng.choices((1.0, 0.3, 0.0), (20, 50, 30))[0]
        for day in map(Day, range(max(joined, self.today - 20), self.today + 1)):
            if self.rng.random() < habit:
                for time in range(self.rng.choices((1, 2), (85, 15))[0]):
                    event_id = f"signed-in:{date.fromordinal(day)}:{time}"
                    self._emit("commerce.member.signed_in.v1", event_id, self._at(day), {"device": "app"})

    def _play(self, joined: Day) -> None:
        for activity, share, most in (("favourite", 0.4, 12), ("game", 0.3, 6)):
            if self.rng.random() >= share:
                continue
            day = Day(self.rng.randint(joined, self.today))
            for time in range(self.rng.randint(1, most)):
                activity_id = f"{activity}:{date.fromordinal(day)}:{time}"
                data = {"activity": activity, "activity_id": activity_id, "units": 1}
                if activity == "game":
                    data["units"] = self.rng.randint(1, 8)
                else:
                    data["sku"] = draw_lines(self.rng, self.decimals)[0].sku
                self._emit("commerce.activity.recorded.v1", activity_id, self._at(day), data)

    def _order(self, joined: Day) -> None:
        count = self.rng.choices((0, 1, 2, 3, 4, 5, 6), (15, 35, 22, 14, 7, 4, 3))[0]
        times = sorted(self._at(Day(self.rng.randint(joined, self.today))) for _ in range(count))
        before: list[_Order] = []
        for position, paid_at in enumerate(times, start=1):
            order = self._pay(f"{self.date:%Y%m%d}-{self.seed}-{self.number:04d}-{position}", paid_at, before)
            self._follow_up(order)
            before.append(order)
        if self.rng.random() < 0.02:
            # Sold before the program began: the order never comes and its refund waits (O3).
            sold_before = {
                "order_id": f"before-{self.seed}-{self.number:04d}",
                "refund_id": f"before-{self.seed}-{self.number:04d}-r1",
                "lines": [{"line_id": "1", "quantity": 1, "amount": self._money(5 * 10**self.decimals)}],
            }
            self._emit("commerce.order.refunded.v1", "before:refunded", self._at(Day(self.today - 2)), sold_before)

    def _pay(self, order_id: str, at: Micros, before: list[_Order]) -> _Order:
        lines = draw_lines(self.rng, self.decimals)
        data: dict[str, Any] = {
            "order_id": order_id,
            "currency": self.currency,
            "lines": [line.data(self.decimals) for line in lines],
            "channel": self.rng.choice(("app", "web", "mini-program")),
        }
        if self.rng.random() < 0.3:
            data["shipping"] = self._money(12 * 10**self.decimals)
        self._pay_with_points(data, lines, at, before)
        paid = self._emit("commerce.order.paid.v1", f"{order_id}:paid", at, data)
        if self.rng.random() < 0.03:
            # The shop corrects the order: one piece of the first line was out of stock.
            lines[0] = replace(lines[0], amount=max(lines[0].amount // 2, 1))
            revised = {**data, "revision": 1, "lines": [line.data(self.decimals) for line in lines]}
            self._emit("commerce.order.paid.v1", f"{order_id}:revised", later(at, HOUR // 6), revised)
        eligible = sum(line.amount for line in lines if line.category != GIFT_CARD)
        points = 0 if "points_used" in data else eligible // 10**self.decimals
        return _Order(order_id, lines, at, paid, points_at_least=points)

    def _pay_with_points(self, data: dict[str, Any], lines: list[Line], at: Micros, before: list[_Order]) -> None:
        """Sometimes pay with what an earlier order earned; sometimes send that order back afterwards."""
        source = next(
            (
                order
                for order in before
                if order.completed_at is not None and order.completed_at + HOUR < at and order.points_at_least
            ),
            None,
        )
        if source is None or self.rng.random() > 0.35:
            return
        eligible = sum(line.amount for line in lines if line.category != GIFT_CARD) // 10**self.decimals
        most = min(source.points_at_least, eligible * POINTS_PER_UNIT // 2)
        points = most // POINTS_PER_UNIT * POINTS_PER_UNIT
        if points:
            data["points_used"] = points
            data["points_value"] = self._money(points * 10**self.decimals // POINTS_PER_UNIT)
            if self.rng.random() < 0.3:
                self._refund(source, self._after(at, 2 * DAY), whole=True)
            source.points_at_least = 0

    def _follow_up(self, order: _Order) -> None:
        ending = self.rng.choices(list(_ENDINGS), list(_ENDINGS.values()))[0]
        facts = {"order_id": order.order_id}
        shipped_at = self._after(later(order.paid_at, HOUR * 6), DAY)
        if ending == "cancelled":
            self._cancel(order, self._after(order.paid_at, 6 * HOUR), {"reason": "changed mind"})
            return
        self._emit(
            "commerce.order.shipped.v1",
            f"{order.order_id}:shipped",
            shipped_at,
            {**facts, "carrier": "courier", "tracking_no": f"T{order.order_id}"},
        )
        if ending == "refunded_early":
            self._refund(order, self._after(shipped_at, DAY), whole=False)
        if ending == "unconfirmed":
            return
        order.completed_at = completed_at = self._after(later(shipped_at, DAY), 4 * DAY)
        self._emit("commerce.order.completed.v1", f"{order.order_id}:completed", completed_at, facts)
        if self.rng.random() < 0.04:
            # The carrier says it again: another telling of the same fact (O2).
            self._emit("commerce.order.completed.v1", f"{order.order_id}:delivered", later(completed_at, HOUR), facts)
        if ending == "refunded":
            self._refund(order, self._after(completed_at, 6 * DAY), whole=self.rng.random() < 0.3)
        if ending == "cancelled_late":
            self._cancel(order, self._after(completed_at, 3 * DAY), {})
            order.points_at_least = 0
        if self.rng.random() < 0.4:
            self._review(order, self._after(completed_at, 5 * DAY))

    def _cancel(self, order: _Order, at: Micros, reason: dict[str, Any]) -> None:
        """The whole order is off; now and then it is on again hours later (R13)."""
        facts = {"order_id": order.order_id, **reason}
        self._emit("commerce.order.cancelled.v1", f"{order.order_id}:cancelled", at, facts)
        if self._is_undone(order.order_id):
            again = {"order_id": order.order_id, "reason": "changed mind again"}
            self._emit("commerce.order.reinstated.v1", f"{order.order_id}:reinstated", later(at, 4 * HOUR), again)

    def _is_undone(self, what: str) -> bool:
        """Whether something is taken back; drawn apart, so that the rest of the story does not go by it."""
        return random.Random(f"{self.id}:{what}:taken-back").random() < 0.3

    def _refund(self, order: _Order, at: Micros, *, whole: bool) -> None:
        """Send back the whole order, or a line, or a part of a line's amount."""
        lines = order.lines if whole else [self.rng.choice(order.lines)]
        part = 1 if whole or self.rng.random() < 0.5 else 2
        refund_id = f"{order.order_id}-r{'0' if whole else '1'}"
        data = {
            "order_id": order.order_id,
            "refund_id": refund_id,
            "lines": [{"line_id": line.line_id, "amount": self._money(max(line.amount // part, 1))} for line in lines],
        }
        refund = self._emit("commerce.order.refunded.v1", f"{refund_id}:refunded", at, data)
        self.refunds.append((order.paid, refund))
        if self._is_undone(refund_id):
            failed = {"order_id": order.order_id, "refund_id": refund_id}
            self._emit("commerce.order.refund_failed.v1", f"{refund_id}:failed", later(at, 2 * DAY), failed)
        order.points_at_least = 0

    def _review(self, order: _Order, at: Micros) -> None:
        for line in order.lines[: self.rng.randint(1, len(order.lines))]:
            review_id = f"{order.order_id}-{line.line_id}"
            review = {
                "review_id": review_id,
                "order_id": order.order_id,
                "sku": line.sku,
                "rating": self.rng.choices((5, 4, 3, 2), (60, 25, 10, 5))[0],
                "scale": 5,
                "images": self.rng.choice((0, 0, 1, 3)),
                "text_length": self.rng.randint(8, 240),
            }
            self._emit("commerce.review.published.v1", f"{review_id}:published", at, review)
            if self.rng.random() < 0.05:
                removed = {"review_id": review_id}
                self._emit("commerce.review.removed.v1", f"{review_id}:removed", self._after(at, DAY), removed)

    def _emit(self, event_type: str, event_id: str, at: Micros, data: dict[str, Any]) -> Event:
        event = cloud_event(
            source=SOURCE,
            event_id=f"{self.id}:{event_id}",
            event_type=event_type,
            member_id=self.id,
            at=at,
            data=data,
        )
        self.events.append(event)
        return event

    def _at(self, day: Day) -> Micros:
        """A moment of a local day, to the second, when shops are busy: 08:00 to midnight."""
        return self._after(later(self.calendar.start_of(day), 8 * HOUR), 16 * HOUR)

    def _after(self, instant: Micros, span: int) -> Micros:
        """A moment, whole seconds after an instant and less than a span."""
        return later(instant, self.rng.randrange(span // MICROS_PER_SECOND) * MICROS_PER_SECOND)

    def _money(self, units: int) -> str:
        return decimal_string(units, self.decimals)
