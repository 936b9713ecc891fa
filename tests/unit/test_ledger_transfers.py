"""The fold sends and receives points as the model does, whatever else happens between."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.calendar import Micros, later, parse_rfc3339
from tests.model import events as shop
from tests.model.commands import Command, Hold, Receive, Redeem, Release, Send
from tests.model.events import Arrival, Timer
from tests.model.program import program
from tests.unit.test_fold_properties import compare

DAY = 86_400_000_000
MARCH_5 = parse_rfc3339("2026-03-05T10:00:01+08:00")
LOTS = st.tuples(
    st.sampled_from(["2026-03-04", "2026-03-10", "2027-03-01", "never"]), st.none(), st.sampled_from([5, 40, 400])
)


GIVING = st.fixed_dictionaries(
    {"allowed": st.sampled_from([True] * 4 + [False])},
    optional={
        "minimum": st.just(2),
        "per_day": st.sampled_from([701, 1900]),
        "per_month": st.sampled_from([1400, 2600]),
    },
)
"""X1: what the program lets a member give."""


def dealings(now: Micros) -> st.SearchStrategy[Command | Timer]:
    """What moves points between members, and between what they have, owe and hold."""
    at = st.just(now)
    return st.one_of(
        st.builds(Send, at, st.sampled_from(["t1", "t2", "t3"]), st.sampled_from([1, 700, 1900])),
        st.builds(Receive, at, st.sampled_from(["t8", "t9"]), st.lists(LOTS, min_size=1, max_size=3).map(tuple)),
        st.builds(Hold, at, st.just("h1"), st.just(600), st.just(DAY)),
        st.builds(Release, at, st.just("h1")),
        st.builds(Redeem, at, st.just("r1"), st.sampled_from([20, 900])),
        st.builds(Timer, at),
    )


@given(st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_P6_the_fold_sends_and_receives_as_the_model_does_at_every_step(data: st.DataObject) -> None:
    history: list[Arrival | Timer | Command] = [
        Arrival(shop.paid("o1", shop.d(1), "900"), parse_rfc3339("2026-03-01T10:00:01+08:00")),
        Arrival(shop.completed("o1", shop.d(5)), MARCH_5),
    ]
    now = MARCH_5
    for _ in range(data.draw(st.integers(1, 8))):
        now = later(now, data.draw(st.sampled_from([1, DAY, 3 * DAY, 360 * DAY])))
        history.append(data.draw(dealings(now)))
        if data.draw(st.integers(0, 9)) == 0:
            refund = shop.refunded("o1", shop.d(6), "300", refund=f"x{now}")
            history.append(Arrival(refund, now))
    compare([program(transfers=data.draw(GIVING))], history)
