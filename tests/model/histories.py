"""Hypothesis strategies of one member's histories, shared by every test that plays one.

`facts` draws what happened, `arrivals` the order and the times in which it came in, `checkouts` puts holds and
redemptions in between. The corners are drawn
often: equal instants, the last microsecond of a day and midnight, refunds before `paid`, of unknown lines
or beyond a line, cancellations at the instant of a completion, revisions after refunds, points used that
are not there, lines that earn nothing or that points cannot pay, parts of a quantity, second reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from services.kit.calendar import NOT_YET, Micros, later
from tests.model.commands import (
    Capture,
    Command,
    Decide,
    GiveBack,
    Hold,
    Receive,
    Redeem,
    Referred,
    Release,
    RepairStreak,
    Send,
)
from tests.model.days import DAY, MINUTE, instant, text_of
from tests.model.drawn_orders import an_order
from tests.model.events import (
    MEMBER,
    Arrival,
    Event,
    Timer,
    completed,
    d,
    hold_id,
    paid,
    redemption_id,
)
from tests.model.lives import a_life, a_person, late_returns, tier_histories
from tests.model.model import HistoryStep
from tests.model.program import ALL_RULES, DEFAULT, Program, program
from tests.model.stories import a_checkout, a_shortfall

SETTLED = 60 * DAY
"""How long after the last arrival every due time is past: shipped + 15 days is well within."""


@st.composite
def programs(
    draw: st.DrawFn,
    *,
    lateness: Sequence[Any] = ("none",),
    expiry: Sequence[str] = ("month", "none", "year", "month", "short"),
    negative: Sequence[str] = ("debt",),
    refund: Sequence[str] = ("recompute",),
    more: bool = False,
    ahead: bool = False,
) -> Program:
    """The default program with its options drawn, and with figures small enough to be reached.

    With `more`, it has marginal bands, campaigns, birthdays, referrals and days that can be made up; with `ahead` also
    campaigns that give from a budget: the model's goes to orders by paid time, the ledger's as they come in.
    """
    kinds: dict[str, dict[str, Any]] = {
        "none": {"kind": "none"},
        "year": {"kind": "rolling", "months": 12, "min_life_days": 30},
        "month": {"kind": "rolling", "months": 1, "min_life_days": 0},
        "short": {"kind": "rolling", "months": 1, "min_life_days": 20},
        "fixed": {"kind": "fixed_dates", "dates": ["03-10", "04-05", "12-31"], "min_life_days": 5},
        "sliding": {"kind": "sliding", "months": 1, "min_life_days": 0},
    }
    purchase: dict[str, Any] = {
        "base": draw(st.sampled_from(["net_of_points", "gross"])),
        "exclude": {"categories": ["gift-card", "service"], "skus": []},
        "min_spend": draw(st.sampled_from(["0", "50"])),
    }
    falls_short = draw(st.sampled_from(negative))
    if falls_short != "review" and draw(st.booleans()):  # a pool's shortfall is reported differently
        purchase["cap"] = {"per": "day", "points": 400}
    sign_in: dict[str, Any] = {"streak": draw(st.sampled_from([{7: 30}, {3: 10, 7: 30}]))}
    rules: list[dict[str, Any]] = []
    if more:
        purchase["stacking"] = draw(st.sampled_from(["multiply", "add", "max"]))
        purchase |= draw(st.sampled_from(WAYS_TO_EARN))
        sign_in["make_up"] = {"cost": 3, "within_days": 4}
        drawn = st.sampled_from([*MORE_RULES, *AHEAD_RULES] if ahead else MORE_RULES)
        rules = draw(st.lists(drawn, min_size=draw(st.integers(0, 3)), unique_by=lambda rule: rule["rule"]))
    return program(
        ALL_RULES,
        points={
            "rounding": draw(st.sampled_from(["floor", "half_up", "ceil"])),
            "expiry": kinds[draw(st.sampled_from(expiry))],
            "pending": {"until": "order_completed", "auto_after_days": draw(st.sampled_from([15, 3]))},
            "negative": falls_short,
            "refund": {
                "mode": draw(st.sampled_from(refund)),
                "returned_expired": draw(st.sampled_from([{"grace_days": 30}, "expire_at_once"])),
                "park_days": 30,
            },
            "max_lateness_days": draw(st.sampled_from(lateness)),
        },
        rule={
            "purchase": purchase,
            "sign-in": sign_in,
            "first-purchase": {"min_spend": draw(st.sampled_from([None, None, "60"]))},
            "favourite": {"once_per": draw(st.sampled_from([None, "item", "item"]))},
            "review": {"cap": {"per": "day", "points": 30}, "verified": draw(st.sampled_from([None, True]))},
        },
        more=rules,
        **({"transfers": draw(st.sampled_from(GIVING))} if ahead else {}),
        redeem={"cash_offset": DEFAULT["redeem"]["cash_offset"] | draw(st.sampled_from(LIMITS))},
    )


@st.composite
def versions(draw: st.DrawFn, /, **options: Any) -> list[Program]:
    """One program, or two versions of it of which the second begins amid what happens.

    Both or none ask for birthdays and referrers: what a profile says is kept from when a version asks for it.
    """
    first = draw(programs(**options))
    if draw(st.booleans()):
        return [first]
    second = draw(programs(**options))
    if "sliding" in (first["points"]["expiry"]["kind"], second["points"]["expiry"]["kind"]):
        second["points"]["expiry"] = first["points"]["expiry"]  # of a program that begins to slide the model is silent
    second |= {"version": "2026.2", "effective_from": d(draw(st.sampled_from([5, 8, 30])), draw(START_TIMES))}
    for asking in [rule for rule in MORE_RULES if rule["rule"] in ("birthday", "referral")]:
        if asking in [*first["earn"], *second["earn"]]:
            for version in (first, second):
                if asking["rule"] not in [rule["rule"] for rule in version["earn"]]:
                    version["earn"].append(asking)
    return [first, second]


LIMITS: list[dict[str, Any]] = [
    {},
    {},
    {"max_share": "1", "points_per_unit": 3},
    {"exclude": {"categories": ["apparel"]}},
]
"""What points may pay: of any number, so that no command is refused for it, and as the program says."""
GIVING: list[dict[str, Any]] = [
    {"allowed": True},
    {"allowed": True},
    {"allowed": True, "minimum": 5, "per_day": 60},
    {"allowed": True, "per_day": 110, "per_month": 140},
    {"allowed": False},
]
START_TIMES = st.sampled_from(["00:00", "12:00"])
CAMPAIGN = {"from": d(3, "00:00"), "to": d(12), "multiplier": "1.5"}
BANDS = DEFAULT["earn"][0]["bands"]
WAYS_TO_EARN: list[dict[str, Any]] = [
    {"bands": BANDS | {"mode": "whole"}},
    {"bands": BANDS | {"mode": "marginal"}},
    {"bands": None, "each_full": "2.50", "points": 5},
]
MORE_RULES: list[dict[str, Any]] = [
    {"rule": "days", "on": "order", "campaign": CAMPAIGN},
    {"rule": "evening", "on": "order", "campaign": CAMPAIGN | {"multiplier": "0.7", "from": d(8)}},
    {"rule": "goods", "on": "order", "campaign": CAMPAIGN | {"include": {"categories": ["apparel"]}, "channels": []}},
    {"rule": "app", "on": "order", "campaign": CAMPAIGN | {"multiplier": "1.1", "channels": ["app", "mini"]}},
    {"rule": "birthday", "on": "order", "when": "birthday_month", "multiplier": "2"},
    {"rule": "birthday", "on": "order", "when": "birthday", "multiplier": "2", "feb29": "mar1"},
    {"rule": "referral", "on": "referral", "referrer": 100, "referred": 50},
    {
        "rule": "referral",
        "on": "referral",
        "referrer": 100,
        "referred": 50,
        "min_spend": "60",
        "within_days": 25,
        "cap": {"per": "month", "referrals": 2},
    },
]
AHEAD_RULES: list[dict[str, Any]] = [
    {"rule": "gift", "on": "order", "campaign": CAMPAIGN | {"multiplier": "2", "budget": 150}},
    {"rule": "gift", "on": "order", "campaign": CAMPAIGN | {"multiplier": "3", "budget": 1000, "from": d(8)}},
    {
        "rule": "gift",
        "on": "order",
        "campaign": CAMPAIGN | {"from": d(2), "to": d(30), "budget": 100_000, "include": {"categories": ["apparel"]}},
    },
]


@st.composite
def facts(
    draw: st.DrawFn,
    *,
    orders: int = 3,
    tiers: bool = False,
    others: bool = True,
    spending: bool = False,
    more: bool = False,
) -> list[Event]:
    """What happened to one member, by business time: up to `orders` orders, and the rest of a shop's life.

    With `tiers`, tier histories that tiering might have published are among it; with `spending`, orders before, whose
    points the others may have held or redeemed; with `more`, birthdays and who referred the member.
    """
    happened: list[Event] = []
    for number in range(1, draw(st.sampled_from([orders, orders, 1])) + 1):
        happened += draw(an_order(f"o{number}", spending=spending))
    for number, day in enumerate(draw(st.sampled_from([[-3], [-3, -2], [-20, -3], []])) if spending else []):
        happened += [paid(f"w{number}", d(day), "250"), completed(f"w{number}", d(day, "11:00"))]
    if others:
        happened += draw(a_life())
        happened += draw(st.just([]) | late_returns())
    if tiers:
        happened += draw(tier_histories())
    if more:
        happened += draw(a_person())
    happened.sort(key=lambda event: instant(event["time"]))
    # An id of its own for each, so that no two reports conflict (O1); ids also decide ties (O2).
    for number, event in enumerate(happened):
        if not event["type"].startswith("loyalty."):
            event["id"] = f"e{number:02}"
    return happened


@st.composite
def arrivals(
    draw: st.DrawFn, events: Sequence[Event], *, duplicates: bool = True, looks: bool = True
) -> list[Arrival | Timer]:
    """These events in any order and at any times, some twice, until all is settled.

    Half of the histories are nearly in order, as a broker's are. With `looks`, the clock is looked at in
    between.
    """
    if draw(st.booleans()):
        order = list(range(len(events)))
        for index, to in draw(st.lists(st.tuples(POSITIONS, POSITIONS), max_size=4)) if events else []:
            order.insert(to % len(order), order.pop(index % len(order)))
    else:
        order = draw(st.permutations(range(len(events))))
    if duplicates and events:
        again = draw(st.lists(st.tuples(st.sampled_from(order), st.integers(0, len(order))), max_size=3))
        for index, at in again:
            order.insert(at, index)
    jumps = draw(st.dictionaries(st.integers(0, max(len(order) - 1, 0)), st.sampled_from(JUMPS), max_size=3))
    now = NOT_YET
    history: list[Arrival | Timer] = []
    for position, index in enumerate(order):
        now = later(max(now, instant(events[index]["time"])), jumps.get(position, 0))
        if looks and position in jumps:
            history.append(Timer(now))
        history.append(Arrival(events[index], now))
    return [*history, Timer(later(max(now, instant(d(1))), SETTLED))]


@st.composite
def checkouts(
    draw: st.DrawFn,
    events: Sequence[Event],
    *,
    duplicates: bool = True,
    reviews: bool = False,
    more: bool = False,
    ahead: bool = False,
) -> list[HistoryStep]:
    """These events as they come in, and commands among them.

    Mostly an order's points are held or redeemed shortly before it is paid. A hold may be captured or released
    meanwhile, be over when the order comes, or end on its own; other commands come at any time, and so do whole
    checkouts where it is close. With `reviews`, what earned points is taken back after they are gone, and
    shortfalls are decided; with `more`, days are bought and members referred; with `ahead`, points sent and received.
    """
    history: list[HistoryStep] = []
    before = NOT_YET
    for step in draw(arrivals(events, duplicates=duplicates)):
        data = step.event["data"] if isinstance(step, Arrival) else {}
        if isinstance(step, Arrival) and ("hold_id" in data or "redemption_id" in data):
            now = min(max(before, later(instant(step.event["time"]), -5 * MINUTE)), step.now)
            history += draw(preparations(data, now, step.now))
        elif draw(st.integers(0, 9)) == 0:
            history.append(draw(commands(draw(st.sampled_from([before, step.now])) or step.now)))
        if reviews and draw(st.integers(0, 7)) == 0:
            about, decisions = (
                st.sampled_from(["o1", "o2", "o3", "e-c0", "e-f0"]),
                st.sampled_from(["take", "write_off"]),
            )
            history.append(draw(st.builds(Decide, st.just(before or step.now), about, decisions)))
        if more and draw(st.integers(0, 5)) == 0:
            history.append(draw(dealings(before or step.now)))
        if ahead and draw(st.integers(0, 5)) == 0:
            history.append(draw(transfers(before or step.now)))
        history.append(step)
        before = step.now
    for number in range(draw(st.sampled_from([0, 1, 1, 2]))):
        history += draw(a_checkout(f"c{number}"))
    for number in range(draw(st.sampled_from([0, 1, 1, 2])) if reviews else 0):
        history += draw(a_shortfall(f"f{number}"))
    return sorted(history, key=lambda step: step.now)


@st.composite
def paid_ahead(draw: st.DrawFn) -> list[HistoryStep]:
    """A member who has points, and who has held and redeemed some before any of the orders that may name them.

    A hold may be captured by command, in full or in part, and a part of a redemption be given back; none is refused.
    """
    steps: list[HistoryStep] = [
        Arrival(paid("rich", d(-3), "250"), instant(d(-3))),
        Arrival(completed("rich", d(-3, "11:00")), instant(d(-3, "11:00"))),
    ]
    for number, (name, points) in enumerate((("h1", 100), ("h2", 60))):
        now = instant(d(-2, f"10:0{number}"))
        steps.append(Hold(now, name, points, draw(st.sampled_from([15 * MINUTE, 20 * DAY, 60 * DAY]))))
        captured = draw(st.sampled_from([0, 0, points, 45]))
        steps += [Capture(later(now, MINUTE), name, captured)] if captured else []
    for number, (name, points) in enumerate((("r1", 120), ("r2", 50))):
        now = instant(d(-2, f"11:0{number}"))
        steps.append(Redeem(now, name, points))
        steps += [GiveBack(later(now, MINUTE), name, 20)] if draw(st.integers(0, 3)) == 0 else []
    return sorted(steps, key=lambda step: step.now)


@st.composite
def preparations(draw: st.DrawFn, data: dict[str, Any], now: Micros, until: Micros) -> list[Command]:
    """What a checkout does before the order is paid: mostly it holds or redeems what the order will use."""
    made: list[Command] = []
    points = max(1, data.get("points_used", 20) + draw(st.sampled_from([0, 0, -20, 30])))
    for reference in ("h1", "h2"):
        if data.get("hold_id") == hold_id(MEMBER, reference) and draw(st.integers(0, 5)):
            made.append(Hold(now, reference, points, draw(TTLS)))
            if draw(st.integers(0, 2)) == 0:
                made.append(Capture(now, reference, draw(st.sampled_from([None, None, max(1, points - 15)]))))
    for reference in ("r1", "r2"):
        if data.get("redemption_id") == redemption_id(MEMBER, reference) and draw(st.integers(0, 5)):
            made.append(Redeem(now, reference, points))
    if draw(st.integers(0, 3)) == 0:
        made.append(draw(commands(draw(st.sampled_from([now, until])))))
    return made


def commands(now: Micros) -> st.SearchStrategy[Command]:
    """Any command, of a reference in use or not."""
    holds, redemptions = st.sampled_from(["h1", "h2", "h3"]), st.sampled_from(["r1", "r2", "r3"])
    points = st.sampled_from([1, 20, 50, 101, 0])
    part = st.none() | points
    return st.one_of(
        st.builds(Hold, st.just(now), holds, points, TTLS),
        st.builds(Capture, st.just(now), holds, part),
        st.builds(Release, st.just(now), holds),
        st.builds(Redeem, st.just(now), redemptions, points),
        st.builds(GiveBack, st.just(now), redemptions, part),
    )


def dealings(now: Micros) -> st.SearchStrategy[Command]:
    """Missed days bought, news of members that this one referred."""
    return st.one_of(
        st.builds(
            RepairStreak, st.just(now), st.sampled_from([text_of(later(now, -day * DAY))[:10] for day in range(6)])
        ),
        st.builds(
            Referred,
            st.just(now),
            st.sampled_from(["m3", "m4", "m6", "m2"]),
            st.just(now) | st.none(),
            st.sampled_from([None, instant(d(-62)), instant(d(-32))]),
        ),
    )


def transfers(now: Micros) -> st.SearchStrategy[Command]:
    """Points sent to other members and received."""
    lots = st.tuples(st.sampled_from(["2026-03-10", "2026-04-01", "never"]), st.none(), st.sampled_from([5, 40]))
    return st.one_of(
        st.builds(Send, st.just(now), st.sampled_from(["t1", "t2", "t3"]), st.sampled_from([1, 20, 101])),
        st.builds(Receive, st.just(now), st.sampled_from(["t8", "t9"]), st.tuples(lots) | st.tuples(lots, lots)),
    )


TTLS = st.sampled_from([15 * MINUTE, 5 * MINUTE, MINUTE, DAY, 20 * DAY, 60 * DAY])
JUMPS = (MINUTE, DAY, 16 * DAY, 40 * DAY)
POSITIONS = st.integers(0, 60)


def settled(history: Sequence[HistoryStep]) -> Micros:
    """When a history ends."""
    return history[-1].now
