"""What can change a ledger: Kafka records, commands and due timers, as values without personal data.

An input's canonical bytes (msgpack arrays, see `chain`) are what the journal keeps, so a field is only ever
appended, with a default. `at` is the business time that the input states; its arrival, `now`, is journalled
beside it. Money is integer minor units of the program's currency, points are integers.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from services.kit.calendar import Day, Micros
from services.kit.money import plain_decimal
from services.ledger.domain.state.account import NO_BIRTHDAY
from services.ledger.domain.state.input_base import Input
from services.ledger.domain.state.messages import (
    AskBudget,
    AskReward,
    BudgetAnswered,
    GiveBackReward,
    KeepReward,
    ReceivePoints,
    ReferralAnswered,
    ReferralReceived,
    RewardAnswered,
    TransferArrived,
)


class Line(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order line. `amount` is what is owed for it after discounts, before points."""

    line_id: str
    sku: str
    category: str | None
    quantity: str
    amount: int


class Paid(Input, frozen=True, array_like=True, tag="paid"):
    """An order was paid, or a revision of it was. The highest `revision` is what counts.

    `points_value` None: the shop does not say what the points used are worth, so the program does.
    """

    order: str
    revision: int
    lines: tuple[Line, ...]
    shipping: int = 0
    tax: int = 0
    points_used: int = 0
    points_value: int | None = 0
    hold_id: str | None = None
    redemption_id: str | None = None
    channel: str = ""


class LinePart(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A line, or a part of its quantity (None: all of it)."""

    line_id: str
    quantity: str | None = None


class Shipped(Input, frozen=True, array_like=True, tag="shipped"):
    """Goods left the shop; without lines, all."""

    order: str
    lines: tuple[LinePart, ...] | None = None


class Completed(Input, frozen=True, array_like=True, tag="completed"):
    """The receipt was confirmed; without lines, of all."""

    order: str
    lines: tuple[LinePart, ...] | None = None


class RefundedLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part of a line's amount that is given back, before points."""

    line_id: str
    amount: int


class Refunded(Input, frozen=True, array_like=True, tag="refunded"):
    """Money paid back, by line; without lines it is goodwill and takes no points (R10)."""

    order: str
    refund_id: str
    lines: tuple[RefundedLine, ...] = ()
    shipping: int = 0
    tax: int = 0


class Cancelled(Input, frozen=True, array_like=True, tag="cancelled"):
    """The whole order is void."""

    order: str


class Reinstated(Input, frozen=True, array_like=True, tag="reinstated"):
    """A cancelled order is on again (R13)."""

    order: str


class RefundFailed(Input, frozen=True, array_like=True, tag="refund_failed"):
    """A refund never happened (R12)."""

    order: str
    refund_id: str


OrderInput = Paid | Shipped | Completed | Refunded | Cancelled | Reinstated | RefundFailed


class SignedIn(Input, frozen=True, array_like=True, tag="signed_in"):
    """The member signed in; its local date counts (D1)."""


class ReviewPublished(Input, frozen=True, array_like=True, tag="review_published"):
    """A review of goods went public; an older release did not say of which."""

    review_id: str
    sku: str = ""


class ReviewRemoved(Input, frozen=True, array_like=True, tag="review_removed"):
    """A review was taken down; final, also when this comes before `published` (N3)."""

    review_id: str


class ProfileUpdated(Input, frozen=True, array_like=True, tag="profile"):
    """Which profile fields an event filled and which it emptied; never their contents.

    `registers` marks the enrolment of open membership (T10). `birthday` (month x 100 + day, or `NO_BIRTHDAY`) and
    `referred_by` (a member's id) are there only where a rule needs them.
    """

    filled: tuple[str, ...]
    emptied: tuple[str, ...]
    registers: bool = False
    birthday: int = NO_BIRTHDAY
    referred_by: str = ""


class Erased(Input, frozen=True, array_like=True, tag="erased"):
    """The member is to be forgotten as of the business time (Z1)."""


class ActivityRecorded(Input, frozen=True, array_like=True, tag="activity"):
    """A favourite, a game, … with the units it counts, a decimal string, and the goods it is about, if any."""

    activity: str
    activity_id: str
    units: str = "1"
    sku: str = ""


class ActivityWithdrawn(Input, frozen=True, array_like=True, tag="activity_withdrawn"):
    """An activity was taken back; final, also when this comes before `recorded` (N7)."""

    activity: str
    activity_id: str


class TierHistoryReceived(Input, frozen=True, array_like=True, tag="tier"):
    """The member's whole dated tier history as tiering now knows it; it replaces the one before (T1).

    `seen` is the (member version, event number) that it came with: what is not newer is ignored.
    """

    seen: tuple[int, int]
    history: tuple[tuple[Micros, str], ...]


class Enrolled(Input, frozen=True, array_like=True, tag="enrolled"):
    """Tiering enrolled the member (T10)."""


Fact = (
    OrderInput
    | SignedIn
    | ReviewPublished
    | ReviewRemoved
    | ProfileUpdated
    | ActivityRecorded
    | ActivityWithdrawn
    | Enrolled
)
"""What the member did, as the shop and tiering report it; of an erased member it books nothing (Z1)."""


class HoldPoints(Input, frozen=True, array_like=True, tag="hold"):
    """A command: set points aside for a checkout, for so many seconds (P5). `hold` is the new hold's id."""

    hold: str
    reference: str
    points: int
    ttl_seconds: int


class CaptureHold(Input, frozen=True, array_like=True, tag="capture"):
    """A command: redeem a hold's points, or so many of them; the rest is released."""

    hold: str
    points: int | None = None


class ReleaseHold(Input, frozen=True, array_like=True, tag="release"):
    """A command: a hold's points are free again."""

    hold: str


class RedeemPoints(Input, frozen=True, array_like=True, tag="redeem"):
    """A command: spend points. `redemption` is the new redemption's id."""

    redemption: str
    reference: str
    points: int


class ReturnRedemption(Input, frozen=True, array_like=True, tag="return"):
    """A command: return a redemption's points, or so many of them (P3, P4)."""

    redemption: str
    points: int | None = None


class RepairStreak(Input, frozen=True, array_like=True, tag="make_up"):
    """A command: buy a missed day of the streak, the ordinal of a local date (D4)."""

    day: Day


class DecideShortfall(Input, frozen=True, array_like=True, tag="decide_shortfall"):
    """A command: write off the points that clawbacks for one order or fact did not find, or owe them (R6)."""

    ref: str
    write_off: bool


class SendPoints(Input, frozen=True, array_like=True, tag="send"):
    """A command: give points to another member. `transfer` is the new transfer's id."""

    transfer: str
    reference: str
    to: str
    points: int


class RedeemReward(Input, frozen=True, array_like=True, tag="redeem_reward"):
    """A command: buy a reward of the catalogue. `nonce` decides a draw; it is drawn where the command comes in."""

    redemption: str
    reference: str
    reward: str
    nonce: str


class AddCodes(Input, frozen=True, array_like=True, tag="add_codes"):
    """A command to the account that keeps a pool: add codes for coupons."""

    codes: tuple[str, ...]


Command = (
    HoldPoints
    | CaptureHold
    | ReleaseHold
    | RedeemPoints
    | RedeemReward
    | ReturnRedemption
    | RepairStreak
    | DecideShortfall
    | SendPoints
    | AddCodes
)


class DueTimer(Input, frozen=True, array_like=True, tag="timer"):
    """No input came for the account, but something on it is due."""


class ExpiryNear(Input, frozen=True, array_like=True, tag="expiring"):
    """The last day of points comes near: the member is notified if any of them can still be spent."""

    day: Day


class SnapshotTaken(Input, frozen=True, array_like=True, tag="snapshot_taken"):
    """All that was stored of the account at a version was kept, so that its history can be folded from there on (K4).

    `digest` is the SHA-256 of what was kept.
    """

    version: int
    digest: bytes


AnyInput = (
    Fact
    | Erased
    | TierHistoryReceived
    | Command
    | ReferralReceived
    | ReferralAnswered
    | ReceivePoints
    | TransferArrived
    | AskReward
    | RewardAnswered
    | GiveBackReward
    | KeepReward
    | AskBudget
    | BudgetAnswered
    | DueTimer
    | ExpiryNear
    | SnapshotTaken
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[AnyInput] = msgspec.msgpack.Decoder(AnyInput)
_fields_decoder = msgspec.msgpack.Decoder(list[object])


def encode_input(input_: AnyInput) -> bytes:
    """The input's canonical bytes: equal inputs have equal bytes, and only they."""
    return _encoder.encode(input_)


def decode_input(raw: bytes) -> AnyInput:
    """The input that `encode_input` wrote."""
    return _decoder.decode(raw)


def with_plain_quantities(input_: AnyInput) -> AnyInput:
    """An input of an older release with its quantities in the one spelling that inputs have since (O12)."""
    match input_:
        case Paid(lines=lines):
            plain = tuple(structs.replace(line, quantity=plain_decimal(line.quantity)) for line in lines)
            return structs.replace(input_, lines=plain)
        case Shipped(lines=parts) | Completed(lines=parts) if parts:
            return structs.replace(input_, lines=tuple(_plain_part(part) for part in parts))
        case ActivityRecorded(units=units):
            return structs.replace(input_, units=plain_decimal(units))
        case _:
            return input_


def _plain_part(part: LinePart) -> LinePart:
    return part if part.quantity is None else structs.replace(part, quantity=plain_decimal(part.quantity))


def decode_fields(raw: bytes) -> list[object]:
    """The tag and the fields of an input that `encode_input` wrote: those that its release knew."""
    return _fields_decoder.decode(raw)


def type_of(input_: AnyInput) -> str:
    """The input's tag, as the journal's `type` column has it."""
    return input_.__struct_config__.tag  # type: ignore[return-value]
