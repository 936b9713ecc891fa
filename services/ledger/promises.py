"""What clients were told of redemptions, holds and transfers, put together again from the facts on the topic (C3).

After a restore the ledger does not know those that it booked after the backup; their facts are still there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from services.kit.calendar import MICROS_PER_SECOND, NOT_YET, Micros, to_micros
from services.ledger.domain.state.fact_keys import hold_key, redemption_key, transfer_key
from services.ledger.domain.state.inputs import AnyInput, CaptureHold, HoldPoints, RedeemPoints, SendPoints

Kind = Literal["redemption", "hold", "transfer"]
SOURCE = "/loyalty/ledger/restored"
"""The source of inputs that book again what a restore has undone."""
_MIN_TTL_SECONDS = 60
"""A hold whose time is nearly over is held for so long, so that its capture can follow."""


class Promise(msgspec.Struct):
    """A redemption, a hold or a transfer, as its facts have it.

    `points` were taken. Of them `back` came back by command, and of a hold `captured` were redeemed by command.
    `is_over` says that a hold was released, or captured. `reward` is what was bought; it is not booked again.
    """

    kind: Kind
    id: str
    member_id: str
    at: Micros
    points: int = 0
    back: int = 0
    captured: int = 0
    to: str = ""
    expires_at: Micros = NOT_YET
    is_over: bool = False
    reward: str = ""

    @property
    def key(self) -> str:
        """Its key among the member's facts."""
        return {"redemption": redemption_key, "hold": hold_key, "transfer": transfer_key}[self.kind](self.id)

    @property
    def standing(self) -> int:
        """The points that are still taken by it."""
        return self.captured if self.kind == "hold" and self.is_over else self.points - self.back

    def inputs(self, now: Micros) -> list[AnyInput]:
        """What books it again under its own id; nothing for what is over, and for a reward."""
        if not self.standing or self.reward:
            return []
        name = f"{self.kind}:{self.id}:{now}"
        match self.kind:
            case "redemption":
                return [RedeemPoints(SOURCE, name, self.at, self.id, self.id, self.standing)]
            case "transfer":
                return [SendPoints(SOURCE, name, self.at, self.id, self.id, self.to, self.points)]
            case "hold":
                ttl = max(_MIN_TTL_SECONDS, (self.expires_at - now) // MICROS_PER_SECOND)
                hold = HoldPoints(SOURCE, name, self.at, self.id, self.id, self.points, ttl)
                capture = CaptureHold(SOURCE, f"{name}:captured", self.at, self.id, self.captured)
                return [hold, capture] if self.captured else [hold]


def promises_of(events: Iterable[Mapping[str, Any]]) -> list[Promise]:
    """What these facts of the ledger told clients, by when it began. The facts of a member are in their order.

    What an order took or gave back is left out: the order's own events come again, and book it again.
    """
    found: dict[tuple[Kind, str], Promise] = {}
    for event in events:
        data = event["data"]
        named = _named(event["type"], data)
        if named is None:
            continue
        promise = found.get(named)
        if promise is None:
            promise = found[named] = Promise(*named, event["subject"], to_micros(event["time"]))
        _add(promise, event["type"], data)
    return sorted((each for each in found.values() if each.points), key=lambda each: (each.at, each.id))


def _named(type_: str, data: Mapping[str, Any]) -> tuple[Kind, str] | None:
    """The kind and id of what a fact is about; None if it is about nothing of the kind."""
    if type_ == "loyalty.points.transferred.v1":
        return ("transfer", data["transfer_id"]) if data["points"] < 0 else None
    if (hold := data.get("hold_id")) is not None:
        return "hold", hold
    redemption = data.get("redemption_id")
    return None if redemption is None else ("redemption", redemption)


def _add(promise: Promise, type_: str, data: Mapping[str, Any]) -> None:
    by_order = "order_id" in data.get("cause", {})
    match type_, promise.kind:
        case "loyalty.points.transferred.v1", _:
            promise.points, promise.to = -data["points"], data["counterpart"]
        case "loyalty.reward.issued.v1", _:
            promise.reward = data["reward"]
        case "loyalty.points.held.v1", _:
            promise.points, promise.expires_at = data["points"], to_micros(data["hold_expires_at"])
        case "loyalty.points.released.v1", _:
            promise.is_over = not by_order
        case "loyalty.points.redeemed.v1", "hold" if not by_order:
            promise.captured, promise.is_over = data["points"], True
        case "loyalty.points.redeemed.v1", "redemption":
            promise.points = data["points"]
        case "loyalty.points.returned.v1", _ if not by_order:
            promise.back += data["points"]
        case _:
            pass
