"""What a case of the table is: under a program, when these events arrive, then these figures hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from services.kit.calendar import Micros
from tests.model.commands import Capture, Command, Decide, GiveBack, Hold, Receive, Redeem, Release, Send
from tests.model.days import MINUTE, instant, minor
from tests.model.events import Arrival, Event, Line, Timer, completed, d, line, paid, refunded
from tests.model.model import Tiers
from tests.model.program import DEFAULT, Program, program


class Then:
    """Figures expected at this point of a history, by the names of `Result`; the rest is left open."""

    def __init__(self, **expected: Any) -> None:
        self.expected = expected


HistoryStep = Event | Arrival | Timer | Command | Then


@dataclass(frozen=True)
class Case:
    """One hand-computed example of a rule. An event that is not wrapped arrives when it happens."""

    code: str
    name: str
    steps: Sequence[HistoryStep]
    programs: Program | Sequence[Program] = field(default_factory=lambda: DEFAULT)
    tiers: Tiers = "closed"

    @property
    def id(self) -> str:
        """The name of its test."""
        return f"{self.code}_{self.name}"

    def history(self) -> Iterator[Arrival | Timer | Command | Then]:
        """The steps, each event with its arrival."""
        for step in self.steps:
            if isinstance(step, dict):
                yield Arrival(step, instant(step["time"]))
            else:
                yield step


# Programs: most cases want one rule and nothing beside it.

PURCHASE = program(["purchase"])
FIRST = program(["purchase", "first-purchase"])

NO_SERVICE = {"purchase": {"exclude": {"categories": ["gift-card", "service"], "skus": []}}}
SPENDING = program(["purchase"], rule=NO_SERVICE)
"""Services earn nothing, so an order of them spends points without muddying the figures."""

MONTH = {"kind": "rolling", "months": 1, "min_life_days": 0}
SPENDING_MONTH = program(["purchase"], rule=NO_SERVICE, points={"expiry": MONTH})
"""The same, and points last one month: those of day 1 (1 March) until day 32 (1 April)."""


def spender(
    order: str,
    at: str,
    points: int,
    *,
    lines: Sequence[Line] | None = None,
    hold: str | None = None,
    redemption: str | None = None,
    revision: int = 0,
) -> Event:
    """An order of ¥200 of services that uses points and earns none (under `SPENDING`)."""
    bought = lines or [line("l1", "200", category="service")]
    value = f"{points // 100}.{points % 100:02}"
    return paid(
        order,
        at,
        bought,
        points_used=points,
        points_value=value,
        hold=hold,
        redemption=redemption,
        revision=revision,
    )


def hold(at: str, points: int, *, minutes: int = 15, reference: str = "h1") -> Hold:
    """Points are set aside for some minutes."""
    return Hold(instant(at), reference, points, minutes * MINUTE)


def capture(at: str, points: int | None = None, *, reference: str = "h1") -> Capture:
    """A hold is captured."""
    return Capture(instant(at), reference, points)


def release(at: str, *, reference: str = "h1") -> Release:
    """A hold is released."""
    return Release(instant(at), reference)


def redeem(at: str, points: int, *, reference: str = "r1") -> Redeem:
    """Points are spent by command."""
    return Redeem(instant(at), reference, points)


def give_back(at: str, points: int | None = None, *, reference: str = "r1") -> GiveBack:
    """Points of a redemption are returned."""
    return GiveBack(instant(at), reference, points)


def send(at: str, points: int, *, reference: str = "t1") -> Send:
    """Points are sent to another member."""
    return Send(instant(at), reference, points)


def receive(at: str, *lots: tuple[str, str | None, int], reference: str = "t1") -> Receive:
    """Points of another member come in, by lot."""
    return Receive(instant(at), reference, lots)


def late(event: Event, at: str) -> Arrival:
    """An event that comes in at `at`, long after it happened."""
    return Arrival(event, instant(at))


def until(at: str) -> Timer:
    """Time passes."""
    return Timer(instant(at))


def entry(at: str, amount: str, orders: int = 0) -> tuple[Micros, int, int]:
    """A timeline entry: the change of the qualifying amount, and of the successful orders."""
    return instant(at), minor(amount), orders


def reached(at: str, tier: str) -> tuple[Micros, str]:
    """A step of the tier history."""
    return instant(at), tier


def decide(at: str, decision: Literal["take", "write_off"], *, about: str = "o1") -> Decide:
    """It is decided what becomes of a shortfall."""
    return Decide(instant(at), about, decision)


TWO_LOTS: list[HistoryStep] = [
    paid("o1", "2026-03-01T10:00:00+08:00", "100"),
    completed("o1", "2026-03-01T11:00:00+08:00"),
    paid("o2", "2026-03-02T10:00:00+08:00", "100"),
    completed("o2", "2026-03-02T11:00:00+08:00"),
]
LOT1, LOT2 = ("2027-03-01", None), ("2027-03-02", None)
"""100 points each, under `SPENDING`."""

HUNDRED: list[HistoryStep] = [
    paid("o1", "2026-03-01T10:00:00+08:00", "100"),
    completed("o1", "2026-03-05T10:00:00+08:00"),
]
MARCH_LOT = ("2026-04-01", None)
"""100 points, under `SPENDING_MONTH` until day 32."""

LOT0 = ("2027-02-28", None)
EARLIER: list[HistoryStep] = [
    late(paid("o0", d(0), "100"), d(3, "10:20")),
    late(completed("o0", d(0, "11:00")), d(3, "10:21")),
]
"""100 points more, which from day 3, 10:21 on are first in spending order."""

NO_LIMIT = program(["purchase"], points={"max_lateness_days": "none"})

GRACE_LOT = ("2026-05-09", "2026-04-01")
EXPIRED_AND_BACK: list[HistoryStep] = [
    paid("o1", d(1), "100"),
    completed("o1", d(5)),
    spender("s1", d(10), 100),
    refunded("s1", d(40), "200"),  # 9 April: the lot of 1 April is over
]
AT_ONCE = {"mode": "recompute", "returned_expired": "expire_at_once", "park_days": 30}


def order(**expected: Any) -> dict[str, Mapping[str, Any]]:
    """What is expected of order o1 alone."""
    return {"o1": expected}
