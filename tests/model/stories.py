"""Hypothesis strategies of checkouts where it is close: points at the end of their life, holds that are nearly over."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.model.commands import Capture, GiveBack, Hold, Redeem, Release
from tests.model.days import DAY, MINUTE, Micros, instant, text_of
from tests.model.events import Arrival, Event, cancelled, completed, d, line, paid, refunded
from tests.model.model import Step

USED = st.sampled_from([60, 100])


@st.composite
def a_checkout(draw: st.DrawFn, name: str) -> list[Step]:
    """Points are earned, held or redeemed about when a month of life ends, and used by an order that may come late.

    Meanwhile others reach for them: refunds of what earned them, orders without a hold or with the same, captures,
    releases, a cancellation that comes first. Of one checkout all has its own names.
    """
    earning, using = f"e-{name}", f"s-{name}"
    day = draw(st.integers(1, 4))
    start = instant(d(day + 31, draw(st.sampled_from(["23:50", "23:50", "23:30", "10:00"]))))
    points = draw(st.sampled_from([40, 100, 150]))
    over = start + draw(st.sampled_from([5, 15, 15, 30, 1440])) * MINUTE
    told_at = draw(st.sampled_from([start + MINUTE, start + 6 * MINUTE, over, over + 1, over + 60 * MINUTE]))
    arrived = told_at + draw(st.sampled_from([0, 0, 20 * MINUTE, 60 * MINUTE, DAY]))
    used = max(0, points + draw(st.sampled_from([0, 0, -20, 30, -points])))

    def order(order_id: str, at: Micros, used: int, revision: int = 0) -> Event:
        bought = [line("l1", "200", category=draw(st.sampled_from(["service", "service", "apparel"])))]
        value = f"{used // 100}.{used % 100:02}"
        names = {"redemption": name} if redeemed else {"hold": name}
        return paid(order_id, text_of(at), bought, points_used=used, points_value=value, revision=revision, **names)

    redeemed = draw(st.integers(0, 3)) == 0
    bought = paid(earning, d(day), draw(st.sampled_from(["50", "100", "100", "250"])))
    told = [bought, completed(earning, d(day, "12:00"))]
    if draw(st.booleans()):  # of another day's lot
        told += [paid(f"{earning}-2", d(day + 1), "100"), completed(f"{earning}-2", d(day + 1, "12:00"))]
    steps: list[Step] = [
        *(Arrival(event, instant(event["time"])) for event in told),
        Redeem(start, name, points) if redeemed else Hold(start, name, points, over - start),
        Arrival(order(using, told_at, used), arrived),
    ]
    moments = st.sampled_from([start, start + 2 * MINUTE, over - 1, over, start + 12 * MINUTE, arrived, arrived + DAY])
    for number in range(draw(st.integers(0, 4))):
        now = draw(moments)
        match draw(st.sampled_from(["refund", "other", "same", "end", "end", "cancel", "back", "revise"])):
            case "refund":
                part = draw(st.sampled_from(["30", "70", "100"]))
                steps.append(Arrival(refunded(earning, text_of(now), part, refund=f"r{number}"), now))
            case "other":
                service = [line("l1", "200", category="service")]
                steps.append(Arrival(paid(f"x{number}-{name}", text_of(now), service, points_used=draw(USED)), now))
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
                ends: list[Step] = [Release(now, name), Capture(now, name), Capture(now, name, 30)]
                steps.append(draw(st.sampled_from(ends)))
    return sorted(steps, key=lambda step: step.now)
