"""A redemption: points spent by command, alone or for a reward."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.kit.calendar import Micros
from services.ledger.domain.state.lots import LotAllocation

RedemptionState = Literal["asked", "done", "sold_out", "cancelled"]


class Redemption(msgspec.Struct, array_like=True):
    """Points spent by command. `taken` is what was not given back, in the order it was taken from its lots.

    If a reward was bought: `issues` is what is handed out (of a draw, what was won), and while its stock is `asked` the
    points wait in transit. It is `cancelled` with the order that has its points, and these return with that order.
    """

    reference: str
    points: int
    made_at: Micros
    taken: list[LotAllocation]
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
_decode_redemption = msgspec.msgpack.Decoder(Redemption).decode


def encode_redemption(redemption: Redemption) -> bytes:
    """The canonical bytes."""
    return _encode(redemption)


def decode_redemption(raw: bytes) -> Redemption:
    """The redemption that `encode` wrote."""
    return _decode_redemption(raw)
