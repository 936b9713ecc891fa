"""Hypothesis strategies of one order: every event of it, also those that contradict each other or undo others."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.model.events import (
    Event,
    Line,
    cancelled,
    completed,
    line,
    paid,
    part,
    refund_failed,
    refunded,
    reinstated,
    shipped,
)
from tests.model.lives import times

AMOUNTS = ("100", "33.33", "199.99", "200", "399", "400", "688", "800", "800.01", "0.01", "0", "57.50")
PARTS = ("10", "33.33", "0.01", "50", "100", "199.99", "700")


@st.composite
def order_lines(draw: st.DrawFn) -> list[Line]:
    """One to three lines."""
    return [
        line(
            f"l{number}",
            draw(st.sampled_from(AMOUNTS)),
            category=draw(st.sampled_from(["apparel"] * 6 + ["service", "gift-card"])),
            quantity=draw(st.sampled_from(["1", "1", "2", "1.5"])),
        )
        for number in range(1, draw(st.integers(1, 3)) + 1)
    ]


REVISIONS = st.sampled_from([*[[0]] * 7, [0, 0], [0, 1], [0, 1], [1, 0, 2], []])
REVISIONS_WITH_POINTS = st.sampled_from([*[[0]] * 3, [0, 0], *[[0, 1]] * 3, [1, 0, 2], []])
LINE_IDS = st.sampled_from([*["l1"] * 4, "l2", "l2", "l3", "l9"])


def points_values(used: int) -> st.SearchStrategy[str | None]:
    """What points used are said to be worth: mostly what they are; sometimes far more than there is, or nothing."""
    worth = f"{used // 100}.{used % 100:02}"
    return st.sampled_from([*[worth] * 5, "999", "9.99", "0", None]) if used else st.none()


@st.composite
def an_order(draw: st.DrawFn, order: str, *, spending: bool = False) -> list[Event]:
    """Every event of one order; `paid` may be missing, reported twice, or revised."""
    hold = st.sampled_from([None, "h1", "h1", "h2"] if spending else [None, None, "h0"])
    redemption = st.sampled_from([None, "r1", "r1", "r2"] if spending else [None])
    day = draw(st.integers(1, 20))
    happened: list[Event] = []
    for revision in draw(REVISIONS_WITH_POINTS if spending else REVISIONS):
        used = draw(st.sampled_from([0, 1, 50, 101, 300] if spending else [0, 0, 0, 1, 50, 101, 300]))
        happened.append(
            paid(
                order,
                draw(times(day, 3, happened=happened)),
                draw(order_lines()),
                shipping=draw(st.sampled_from([None, "10", "0.01"])),
                tax=draw(st.sampled_from([None, None, "3.33"])),
                points_used=used,
                points_value=draw(points_values(used)),
                hold=draw(hold),
                redemption=draw(redemption),
                channel=draw(st.sampled_from([None, "app"])),
                revision=revision,
            )
        )
    some_lines = st.none() | st.lists(
        st.builds(part, LINE_IDS, quantity=st.sampled_from([None, None, 1, 2])),
        min_size=1,
        max_size=2,
        unique_by=lambda named: named["line_id"],
    )
    for _ in range(draw(st.integers(0, 2))):
        happened.append(shipped(order, draw(times(day, 8, happened=happened)), draw(some_lines)))
    for _ in range(draw(st.integers(0, 2))):
        happened.append(completed(order, draw(times(day - 1, 20, happened=happened)), draw(some_lines)))
    for _ in range(draw(st.integers(0, 3))):
        happened.append(draw(a_refund(order, day, happened)))
    happened += draw(undone(order, day, happened))
    return happened


@st.composite
def undone(draw: st.DrawFn, order: str, day: int, happened: Sequence[Event]) -> list[Event]:
    """Cancellations, some of them undone again, and refunds that fail, told of or not."""
    made: list[Event] = []
    for _ in range(draw(st.sampled_from([*[0] * 8, 1, 2]))):
        made.append(cancelled(order, draw(times(day - 1, 25, happened=[*happened, *made]))))
    for _ in range(draw(st.sampled_from([0, 1, 1, 2] if made else [*[0] * 9, 1]))):
        made.append(reinstated(order, draw(times(day - 1, 25, happened=[*happened, *made]))))
    for _ in range(draw(st.sampled_from([*[0] * 5, 1]))):
        refund = draw(st.sampled_from(["r1", "r1", "r2"]))
        made.append(refund_failed(order, draw(times(day, 40, happened=happened)), refund=refund))
    return made


@st.composite
def a_refund(draw: st.DrawFn, order: str, day: int, happened: Sequence[Event]) -> Event:
    """Of lines known and unknown, of shipping or of tax, of nothing; now and then a second report."""
    parts = st.builds(part, LINE_IDS, st.sampled_from(PARTS))
    lines = draw(st.none() | st.lists(parts, min_size=1, max_size=2, unique_by=lambda named: named["line_id"]))
    return refunded(
        order,
        draw(times(day - 1, draw(st.sampled_from([3, 30, 50])), happened=happened)),
        lines,
        refund=draw(st.sampled_from(["r1", "r2", "r3"])),
        shipping=draw(st.sampled_from([None, None, "10", "4"])),
        tax=draw(st.sampled_from([None, None, "3.33"])),
    )
