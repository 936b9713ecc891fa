"""Hypothesis strategies of what is close: points at the end of their life, holds nearly over, clawbacks too late."""

from __future__ import annotations

from hypothesis import strategies as st

from services.kit.calendar import Micros, later
from tests.model.commands import Capture, Decide, GiveBack, Hold, Redeem, Release
from tests.model.days import DAY, MINUTE, instant, text_of
from tests.model.events import Arrival, Event, cancelled, completed, d, line, paid, part, refunded
from tests.model.model import HistoryStep


@st.composite
def a_checkout(draw: st.DrawFn, name: str) -> list[HistoryStep]:
    """Points are earned, held or redeemed about when a month of life ends, and used by an order that may come late.

    Meanwhile others reach for them: refunds of what earned them, orders without a hold or with the same, captures,
    releases, a cancellation that comes first. Of one checkout all has its own names.
    """
    earning, using = f"e-{name}", f"s-{name}"
    day = draw(st.integers(1, 4))
    start = instant(d(day + 31, draw(st.sampled_from(["23:50", "23:50", "23:30", "10:00"]))))
    points = draw(st.sampled_from([40, 100, 150]))
    over = later(start, draw(st.sampled_from([5, 15, 15, 30, 1440])) * MINUTE)
    told_at = draw(
        st.sampled_from(
            [later(start, MINUTE), later(start, 6 * MINUTE), over, later(over, 1), later(over, 60 * MINUTE)]
        )
    )
    arrived = later(told_at, draw(st.sampled_from([0, 0, 20 * MINUTE, 60 * MINUTE, DAY])))
    used = max(0, points + draw(st.sampled_from([0, 0, -20, 30, -points])))

    def order(order_id: str, at: Micros, used: int, revision: int = 0) -> Event:
        bought = [line("l1", "200", category=draw(st.sampled_from(["service", "service", "apparel"])))]
        value = f"{used // 100}.{used % 100:02}"
        names = {"redemption": name} if redeemed else {"hold": name}
        return paid(order_id, text_of(at), bought, points_used=used, points_value=value, revision=revision, **names)

    redeemed = draw(st.integers(0, 3)) == 0
    bought = paid(earning, d(day), draw(st.sampled_from(["100", "100", "250"])))
    steps: list[HistoryStep] = [
        Arrival(bought, instant(bought["time"])),
        Arrival(completed(earning, d(day, "12:00")), instant(d(day, "12:00"))),
        Redeem(start, name, points) if redeemed else Hold(start, name, points, over - start),
        Arrival(order(using, told_at, used), arrived),
    ]
    moments = st.sampled_from(
        [
            start,
            later(start, 2 * MINUTE),
            later(over, -1),
            over,
            later(start, 12 * MINUTE),
            arrived,
            later(arrived, DAY),
        ]
    )
    for number in range(draw(st.integers(0, 4))):
        now = draw(moments)
        match draw(st.sampled_from(["refund", "other", "same", "end", "end", "cancel", "back", "revise"])):
            case "refund":
                part = draw(st.sampled_from(["30", "70", "100"]))
                steps.append(Arrival(refunded(earning, text_of(now), part, refund=f"r{number}"), now))
            case "other":
                service = [line("l1", "200", category="service")]
                steps.append(Arrival(paid(f"x{number}-{name}", text_of(now), service, points_used=60), now))
            case "same":
                steps.append(Arrival(order(f"y{number}-{name}", now, 50), now))
            case "cancel":
                steps.append(Arrival(cancelled(using, text_of(now), id=f"{using}:cancelled:{number}"), now))
            case "back":
                steps.append(Arrival(refunded(using, text_of(now), "100", refund=f"r{number}"), now))
            case "revise":
                more = max(0, used + draw(st.sampled_from([20, -20])))
                steps.append(Arrival(order(using, now, more, revision=number + 1), max(now, arrived)))
            case _ if redeemed:
                steps.append(GiveBack(now, name, draw(st.sampled_from([None, 20]))))
            case _:
                ends: list[HistoryStep] = [Release(now, name), Capture(now, name), Capture(now, name, 30)]
                steps.append(draw(st.sampled_from(ends)))
    return sorted(steps, key=lambda step: step.now)


GREEDY = (1600, 800, 400, 200, 100, 50, 25, 12)


@st.composite
def a_shortfall(draw: st.DrawFn, name: str) -> list[HistoryStep]:
    """Nearly all points are spent or held, then what earned some is refunded, cancelled, revised, and somebody decides.

    Between the one and the other points may come in, go back, or expire.
    """
    earning, other = f"e-{name}", f"o-{name}"
    day = draw(st.integers(1, 4))
    category = draw(st.sampled_from(["apparel", "apparel", "service"]))
    bought = [line("l1", draw(st.sampled_from(["100", "250"]))), line("l2", "50.50", category=category)]
    start = instant(d(day + 1))
    steps: list[HistoryStep] = [
        Arrival(paid(earning, d(day), bought), instant(d(day))),
        Arrival(completed(earning, d(day, "12:00")), instant(d(day, "12:00"))),
        Redeem(start, name, 60) if draw(st.booleans()) else Hold(start, name, 60, 40 * DAY),
    ]
    # As far as there are so many.
    steps += [Redeem(start, f"{name}-{points}", points) for points in draw(st.sampled_from([GREEDY, GREEDY, []]))]
    moments = st.integers(2, 40).map(lambda after: instant(d(day + after)))
    for number in range(draw(st.integers(2, 6))):
        now = draw(moments)
        match draw(
            st.sampled_from(["refund", "refund", "refund", "cancel", "less", "income", "end", "decide", "decide"])
        ):
            case "refund":
                parts = [part(draw(st.sampled_from(["l1", "l1", "l2"])), draw(st.sampled_from(["33.33", "50", "100"])))]
                steps.append(Arrival(refunded(earning, text_of(now), parts, refund=f"r{number}"), now))
            case "cancel":
                steps.append(Arrival(cancelled(earning, text_of(now), id=f"{earning}:cancelled:{number}"), now))
            case "less":
                steps.append(Arrival(paid(earning, text_of(now), "57.50", revision=number + 1), now))
            case "income":
                steps.append(Arrival(paid(f"{other}-{number}", text_of(now), "100"), now))
                steps.append(Arrival(completed(f"{other}-{number}", text_of(later(now, MINUTE))), later(now, MINUTE)))
            case "end":
                ends: list[HistoryStep] = [
                    GiveBack(now, name),
                    GiveBack(now, name, 20),
                    Release(now, name),
                    Capture(now, name),
                ]
                steps.append(draw(st.sampled_from(ends)))
            case _:
                steps.append(Decide(now, earning, draw(st.sampled_from(["take", "write_off"]))))
    return sorted(steps, key=lambda step: step.now)
