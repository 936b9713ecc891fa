"""A redemption: points spent by command, alone or for a reward. It is a fact of the member."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.kit.calendar import Micros
from services.ledger.domain.state.lots import LotAllocation

RedemptionState = Literal["asked", "done", "sold_out", "cancelled"]


class Redemption(msgspec.Struct, array_like=True):
    """Points spent by command. `allocations` are those not returned yet, in the order in which they left their lots.

    If a reward was bought, `issues` is the reward that is handed out (of a draw, the one that was won). While the
    reward's account is `asked` for one, the points wait in transit. The redemption is `cancelled` together with the
    order that has its points, and these return with that order. `returned` came back by command, `surplus` because the
    order that has it uses fewer (P7).
    """

    reference: str
    points: int
    made_at: Micros
    allocations: list[LotAllocation]
    returned: int = 0
    order: str = ""
    reward: str = ""
    kind: str = ""
    state: RedemptionState = "done"
    issues: str = ""
    code: str = ""
    nonce: str = ""
    prize: str = ""
    surplus: int = 0

    @property
    def is_given_back(self) -> bool:
        """Whether nothing of it is left, because all was returned by command."""
        return self.returned == self.points

    @property
    def is_free(self) -> bool:
        """Whether an order that names it may take its points: points alone, or those of points and cash (P7)."""
        return not self.order and self.state == "done" and self.kind in ("", "points_cash")


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Redemption).decode


def encode_redemption(redemption: Redemption) -> bytes:
    """The canonical bytes."""
    return _encode(redemption)


def decode_redemption(raw: bytes) -> Redemption:
    """The redemption that `encode_redemption` wrote."""
    return _decode(raw)
