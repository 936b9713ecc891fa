"""Hypothesis strategies of what a member does beside ordinary orders: sign-ins, reviews, a profile, tier histories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.model.events import (
    Event,
    activity,
    activity_withdrawn,
    d,
    line,
    paid,
    profile,
    refunded,
    registered,
    review,
    review_removed,
    signed_in,
    tier,
)

CLOCKS = ("10:00:00", "00:00:00", "23:59:59.999999", "23:59:59", "10:00:00.000001")
TIERS = ("regular", "senior", "vip", "supreme")


@st.composite
def times(draw: st.DrawFn, near: int, within: int, *, happened: Sequence[Event] = ()) -> str:
    """An instant some days from day `near`, or the very instant of an earlier event."""
    if happened and draw(st.integers(0, 3)) == 0:
        return str(draw(st.sampled_from([event["time"] for event in happened])))
    return d(draw(st.integers(near, near + within)), draw(st.sampled_from(CLOCKS)))


@st.composite
def late_returns(draw: st.DrawFn) -> list[Event]:
    """Points used soon and sent back when, of a month's life, their lots are over; perhaps twice (P4)."""
    happened = [review(f"w{number}", d(draw(st.integers(1, 4)))) for number in range(draw(st.integers(1, 3)))]
    for order, day in (("s1", 6), ("s2", 50))[: draw(st.integers(1, 2))]:
        used = draw(st.sampled_from([10, 20, 35]))
        bought = [line("l1", "200", category=draw(st.sampled_from(["service", "apparel"])))]
        happened.append(paid(order, d(day), bought, points_used=used, points_value=f"0.{used}"))
        for number, amount in enumerate(draw(st.sampled_from([["200"], ["100"], ["50", "150"]]))):
            back = draw(times(day + 30, 10))
            happened.append(refunded(order, back, amount, refund=f"r{number}"))
    return happened


@st.composite
def a_life(draw: st.DrawFn) -> list[Event]:
    """Sign-ins with gaps, reviews, favourites, games, a profile that fills and empties."""
    happened: list[Event] = []
    for day in draw(st.sets(st.integers(1, 18), max_size=10)):
        happened.append(signed_in(d(day, draw(st.sampled_from(CLOCKS)))))
    for number in draw(st.lists(st.integers(1, 4), max_size=5)):
        happened.append(review(f"v{number}", draw(times(3, 2))))
    for number in draw(st.sets(st.integers(1, 4), max_size=2)):
        happened.append(review_removed(f"v{number}", draw(times(3, 30))))
    for number in draw(st.lists(st.integers(1, 8), max_size=4)):
        kind = draw(st.sampled_from(["favourite", "game"]))
        units = draw(st.sampled_from([1, 7])) if kind == "game" else None
        sku = draw(st.sampled_from([None, "sku-l1", "sku-l2"])) if kind == "favourite" else None
        happened.append(activity(kind, f"a{number}", draw(times(5, 1)), units=units, sku=sku))
    for number in draw(st.sets(st.integers(1, 8), max_size=2)):
        kind = draw(st.sampled_from(["favourite", "favourite", "game"]))
        happened.append(activity_withdrawn(kind, f"a{number}", draw(times(5, 20))))
    if draw(st.booleans()):
        happened.append(registered(draw(times(1, 5)), name="Lin", phone="+8613800000000"))
    for _ in range(draw(st.integers(0, 3))):
        happened.append(profile(draw(times(1, 20)), **draw(profile_fields())))
    return happened


def profile_fields() -> st.SearchStrategy[dict[str, Any]]:
    """Some fields filled, some deleted."""
    names = st.sampled_from(["name", "phone", "email", "birthday"])
    return st.dictionaries(names, st.sampled_from(["1990-05-01", "1990-05-02", None]), min_size=1)


@st.composite
def tier_histories(draw: st.DrawFn) -> list[Event]:
    """What tiering said and said again: each the whole history, the last version counts."""
    happened = []
    for version in range(1, draw(st.integers(0, 3)) + 1):
        names = TIERS[draw(st.integers(0, 3)) :]
        days = sorted(draw(st.sets(st.integers(1, 25), min_size=1, max_size=len(names))))
        clock = draw(st.sampled_from(CLOCKS))
        history = [(d(day, clock), name) for day, name in zip(days, names, strict=False)]
        happened.append(tier(history, version=version))
    return happened


@st.composite
def a_person(draw: st.DrawFn) -> list[Event]:
    """A birthday that may change, and a member who referred this one, or says so of this one."""
    named = st.sampled_from([None, "m1", "m2", "m2", "m5"])
    happened = [registered(d(-60), referred_by=draw(named))]
    for day in draw(st.sets(st.sampled_from([-61, -40, -31, -30, -29]), max_size=2)):
        happened.append(profile(d(day, draw(st.sampled_from(CLOCKS))), id=f"referred:{day}", referred_by=draw(named)))
    for other in draw(st.sets(st.sampled_from(["m2", "m5"]), max_size=2)):
        back = draw(st.sampled_from([None, "m1", "m1", "m2"]))
        day = draw(st.sampled_from([-60, -61, -35, 40]))
        happened.append(registered(d(day), member=other, referred_by=back))
    for day in draw(st.lists(st.sampled_from([-70, -45, -25, -25, -24, 1, 2, 4]), max_size=3)):
        born = draw(st.sampled_from(["1990-03-05", "1990-03-31", "1992-02-29", "1990-04-02", None]))
        happened.append(profile(d(day, draw(st.sampled_from(CLOCKS))), birthday=born))
    return happened
