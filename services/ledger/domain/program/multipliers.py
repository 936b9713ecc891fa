"""Rules that multiply what orders earn, by when an order was paid: campaigns and birthdays (N2, N6, B1, B2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from services.kit.calendar import END_OF_TIME, MICROS_PER_SECOND, Calendar, Day, Micros, day_from, parse_rfc3339
from services.ledger.domain.program.goods import Goods, compile_goods
from services.ledger.domain.state.account import NO_BIRTHDAY
from services.ledger.domain.state.refs import CAMPAIGN

Birthdays = Sequence[tuple[Micros, int]]
"""A member's birthdays by the business time of the profile update: month x 100 + day, or `NO_BIRTHDAY`."""

NOTICE_DAYS: Final = 30
"""A birthday entered less than so many days before does not count that year (B2)."""

_LEAP_DAY: Final = 229
_FEBRUARY_28, _MARCH_1 = 228, 301
_NOT_CHANGED: Final = (END_OF_TIME, NO_BIRTHDAY)
"""What follows the last change of a birthday."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Multiplies for orders paid from `starts` until before `ends`.

    `channels`: only orders of these, None = of all; `goods`: only lines of these, None = all. `budget`: the points that
    it gives to all members together (N6), None = without end; `account` is the account that keeps the budget.
    """

    name: str
    factor: Fraction
    starts: Micros
    ends: Micros
    channels: frozenset[str] | None
    goods: Goods | None
    budget: int | None
    account: str

    def holds(self, paid_at: Micros, channel: str, _birthdays: Birthdays) -> bool:
        """Whether an order paid at an instant over a channel meets it, if it has goods of the campaign."""
        return self.starts <= paid_at < self.ends and (self.channels is None or channel in self.channels)


def campaign_of(account: str) -> str:
    """The name of the campaign whose budget an account keeps."""
    return account.removeprefix(CAMPAIGN).partition(":")[0]


@dataclass(frozen=True, slots=True)
class Birthday:
    """Multiplies for orders paid on the member's birthday, or in its month, once a calendar year (B2).

    A year's birthday is the first that was entered in time and still stood when its day (or month) began.
    """

    name: str
    factor: Fraction
    whole_month: bool
    leap_day: int
    """The day on which 29 February is kept in common years: 228 or 301 (B1)."""
    calendar: Calendar

    def holds(self, paid_at: Micros, _channel: str, birthdays: Birthdays) -> bool:
        """Whether an order paid at an instant meets it."""
        day = self.calendar.day_of(paid_at)
        year = date.fromordinal(day).year
        for (since, birthday), (until, _) in pairwise([*birthdays, _NOT_CHANGED]):
            if birthday and self._counts(since, birthday, year) and self._begins(birthday, year) <= until:
                return since < paid_at and self._is_on(day, birthday)
        return False

    def _kept(self, birthday: int, year: int) -> date:
        if birthday == _LEAP_DAY and (year % 4 or (year % 100 == 0 and year % 400)):
            birthday = self.leap_day
        return date(year, *divmod(birthday, 100))

    def _is_on(self, day: Day, birthday: int) -> bool:
        today = date.fromordinal(day)
        kept = self._kept(birthday, today.year)
        return today.month == kept.month if self.whole_month else today == kept

    def _begins(self, birthday: int, year: int) -> Micros:
        kept = self._kept(birthday, year)
        return self.calendar.start_of(day_from(kept.replace(day=1) if self.whole_month else kept))

    def _counts(self, entered_at: Micros, birthday: int, year: int) -> bool:
        return self.calendar.day_of(entered_at) + NOTICE_DAYS <= self._kept(birthday, year).toordinal()


Multiplier = Campaign | Birthday


def is_multiplier(rule: Mapping[str, Any]) -> bool:
    """Whether a rule on orders multiplies what the order rule gives."""
    return "campaign" in rule or "when" in rule


def compile_multiplier(rule: Mapping[str, Any], calendar: Calendar) -> Multiplier:
    """The multiplier of a validated document's rule."""
    if "campaign" in rule:
        return _compile_campaign(rule["rule"], rule["campaign"])
    leap_day = _MARCH_1 if rule.get("feb29") == "mar1" else _FEBRUARY_28
    return Birthday(rule["rule"], Fraction(rule["multiplier"]), rule["when"] == "birthday_month", leap_day, calendar)


def _compile_campaign(name: str, campaign: Mapping[str, Any]) -> Campaign:
    goods, channels = compile_goods(campaign.get("include")), campaign.get("channels")
    starts = parse_rfc3339(campaign["from"])
    return Campaign(
        name=name,
        factor=Fraction(campaign["multiplier"]),
        starts=starts,
        ends=parse_rfc3339(campaign["to"]),
        channels=frozenset(channels) if channels else None,
        goods=goods if goods.categories or goods.skus else None,
        budget=campaign.get("budget"),
        account=_account(name, starts),
    )


def _account(name: str, starts: Micros) -> str:
    """The account of a campaign's budget: name and start make the same campaign in every version of the program."""
    return f"{CAMPAIGN}{name}:{datetime.fromtimestamp(starts // MICROS_PER_SECOND, UTC):%Y%m%dT%H%M%SZ}"
