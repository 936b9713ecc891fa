"""Points set aside or spent by command: what is known of a hold and of a redemption.

Both are facts of the member under their id's key. An order that names one has its points from it (P7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from services.kit.calendar import Micros
from services.ledger.domain.orders import Taken

MOST_OPEN: Final = 100
"""Holds of one member that may be open at the same time."""

RedemptionState = Literal["asked", "done", "sold_out", "cancelled"]
HoldState = Literal["open", "captured", "released", "timed_out"]


class Hold(msgspec.Struct, array_like=True):
    """Points set aside until it ends: by capture, release or timeout, once (P5).

    `taken` says out of which lots, in that order, also after its end: a late order is honoured from them (P7). Of them
    the first `captured` points were redeemed. `order` is the one that has them.
    """

    reference: str
    points: int
    made_at: Micros
    expires_at: Micros
    taken: list[Taken]
    state: HoldState = "open"
    ended_at: Micros = 0
    captured: int = 0
    order: str = ""


class Redemption(msgspec.Struct, array_like=True):
    """Points spent by command. `taken` is what was not given back, in the order it was taken from its lots.

    If a reward was bought: `issues` is what is handed out (of a draw, what was won), and while its stock is `asked` the
    points wait in transit. It is `cancelled` with the order that has its points, and these return with that order.
    """

    reference: str
    points: int
    made_at: Micros
    taken: list[Taken]
    returned: int = 0
    order: str = ""
    reward: str = ""
    kind: str = ""
    state: RedemptionState = "done"
    issues: str = ""
    code: str = ""
    nonce: str = ""
    prize: str = ""

    @property
    def is_free(self) -> bool:
        """Whether an order that names it may have its points: points alone, or those that pay beside money (P7)."""
        return not self.order and self.state == "done" and self.kind in ("", "points_cash")


_encode = msgspec.msgpack.Encoder().encode
_decode_hold = msgspec.msgpack.Decoder(Hold).decode
_decode_redemption = msgspec.msgpack.Decoder(Redemption).decode


def encode(known: Hold | Redemption) -> bytes:
    """The canonical bytes."""
    return _encode(known)


def decode_hold(raw: bytes) -> Hold:
    """The hold that `encode` wrote."""
    return _decode_hold(raw)


def decode_redemption(raw: bytes) -> Redemption:
    """The redemption that `encode` wrote."""
    return _decode_redemption(raw)


def split(taken: Sequence[Taken], points: int) -> tuple[list[Taken], list[Taken]]:
    """The first so many points of what was taken, and the rest."""
    first: list[Taken] = []
    rest: list[Taken] = []
    for part in taken:
        here = min(part.points, points)
        points -= here
        if here:
            first.append(Taken(part.lot_day, part.parent, here))
        if here < part.points:
            rest.append(Taken(part.lot_day, part.parent, part.points - here))
    return first, rest
