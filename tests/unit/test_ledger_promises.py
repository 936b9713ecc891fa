"""What clients were told, put together from facts (C3)."""

from __future__ import annotations

from typing import Any

from services.kit.calendar import from_micros, later, parse_rfc3339
from services.ledger.domain.state.inputs import CaptureHold, HoldPoints, RedeemPoints, SendPoints
from services.ledger.promises import promises_of
from tests.model.events import d

NOW = parse_rfc3339(d(9))


def fact(kind: str, day: int, *, order: str | None = None, **data: Any) -> dict[str, Any]:
    cause = {} if order is None else {"order_id": order}
    time = parse_rfc3339(d(day))
    return {"type": f"loyalty.{kind}.v1", "subject": "m1", "time": from_micros(time), "data": {"cause": cause, **data}}


def test_C3_a_redemption_stands_less_what_came_back_by_command() -> None:
    told = [
        fact("points.redeemed", 1, redemption_id="r1", points=500),
        fact("points.returned", 2, redemption_id="r1", points=200),
        fact("points.returned", 3, redemption_id="r1", points=100, order="o1"),  # the order comes again
    ]
    (promise,) = promises_of(told)
    assert (promise.kind, promise.standing) == ("redemption", 300)
    (input_,) = promise.inputs(NOW)
    assert isinstance(input_, RedeemPoints)
    assert (input_.redemption, input_.points) == ("r1", 300)


def test_C3_a_hold_is_held_again_and_captured_as_it_was() -> None:
    held = fact("points.held", 1, hold_id="h1", points=500, hold_expires_at=from_micros(later(NOW, 90_000_000)))
    (promise,) = promises_of([held])
    (hold,) = promise.inputs(NOW)
    assert isinstance(hold, HoldPoints)
    assert (hold.hold, hold.points, hold.ttl_seconds) == ("h1", 500, 90)
    (promise,) = promises_of([held, fact("points.redeemed", 2, hold_id="h1", points=300)])
    hold, capture = promise.inputs(NOW)
    assert isinstance(capture, CaptureHold)
    assert (promise.standing, capture.points) == (300, 300)
    (promise,) = promises_of([held, fact("points.released", 2, hold_id="h1", points=500)])
    assert (promise.standing, promise.inputs(NOW)) == (0, [])
    # What an order captured is open again: the order comes again and takes it.
    (promise,) = promises_of([held, fact("points.redeemed", 2, hold_id="h1", points=500, order="o1")])
    assert [type(each) for each in promise.inputs(NOW)] == [HoldPoints]


def test_C3_a_transfer_is_sent_again_and_a_reward_is_not() -> None:
    away = fact("points.transferred", 1, transfer_id="t1", points=-700, counterpart="m2")
    arrived = fact("points.transferred", 1, transfer_id="t1", points=700, counterpart="m1")
    (promise,) = promises_of([away, arrived])
    (send,) = promise.inputs(NOW)
    assert isinstance(send, SendPoints)
    assert (send.transfer, send.to, send.points) == ("t1", "m2", 700)
    bought = fact("points.redeemed", 1, redemption_id="r1", points=500)
    (promise,) = promises_of([bought, fact("reward.issued", 1, redemption_id="r1", reward="mug")])
    assert (promise.standing, promise.inputs(NOW)) == (500, [])
