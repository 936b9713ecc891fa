"""The HTTP answers to commands. An answer is rendered in the transaction of its command and stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import msgspec
import orjson

from services.kit.calendar import Micros, rfc3339
from services.kit.problem import MEMBER_ERASED, Kind, Problem, kind
from services.ledger.domain.batch import NewJournalRow
from services.ledger.domain.rules.refusals import Refusal
from services.ledger.domain.state.fact_keys import HOLD, REDEMPTION
from services.ledger.domain.state.holds import Hold
from services.ledger.domain.state.inputs import (
    AddCodes,
    CaptureHold,
    DecideShortfall,
    HoldPoints,
    RedeemPoints,
    RedeemReward,
    ReleaseHold,
    RepairStreak,
    ReturnRedemption,
    SendPoints,
)
from services.ledger.domain.state.redemptions import Redemption
from services.ledger.domain.state.refs import REWARD, order_of
from services.ledger.domain.state.rewards import CodePool
from services.ledger.domain.state.transfers import Transfer

KEY_REUSED: Final = kind("idempotency-key-reused", "The key was used with another request", 422)

_REFUSALS: Final[Mapping[Refusal, tuple[int, str, str]]] = {
    "points_not_positive": (422, "Points must be positive", "Send a whole number of points above 0."),
    "insufficient_points": (
        409,
        "Not enough points",
        "The member has {available} points available: ask for no more than these.",
    ),
    "below_minimum": (409, "Too few points to spend at once", "Ask for at least {minimum} points."),
    "off_step": (409, "Points are spent in steps", "Ask for a multiple of {step} points."),
    "reference_used": (
        409,
        "The reference is in use",
        "The member has used this reference before: read what was made with it, or send another reference.",
    ),
    "too_many_holds": (409, "Too many open holds", "Capture or release some of the member's open holds first."),
    "hold_unknown": (404, "No such hold", "No hold has this id."),
    "hold_over": (
        409,
        "The hold has ended",
        "It was captured or released, or it timed out. Make a new hold.",
    ),
    "more_than_held": (409, "More points than are held", "Capture at most the points of the hold."),
    "redemption_unknown": (404, "No such redemption", "No redemption has this id."),
    "redemption_in_order": (
        409,
        "The redemption belongs to an order",
        "Its points return when the order is refunded or cancelled.",
    ),
    "more_than_left": (
        409,
        "More points than are left to return",
        "Return at most the points that were not returned yet.",
    ),
    "make_up_not_offered": (
        409,
        "Streak repairs are not offered",
        "The program in force does not let members buy missed days.",
    ),
    "day_out_of_reach": (
        409,
        "The day is out of reach",
        "Name a day before today, no longer ago than the program allows.",
    ),
    "day_not_missed": (409, "The day was not missed", "The member signed in on that day, or has bought it already."),
    "shortfall_unknown": (
        404,
        "No such shortfall",
        "No shortfall with this ref waits for a decision: it was decided already, or there never was one.",
    ),
    "same_member": (422, "Sender and receiver are the same", "Name another member as the receiver."),
    "receiver_unknown": (
        404,
        "No such receiver",
        "Nothing is known of the member who is to receive the points: check the id.",
    ),
    "transfer_unknown": (404, "No such transfer", "No transfer has this id."),
    "transfers_not_allowed": (
        409,
        "Points cannot be given away",
        "The program in force does not let members give points to each other.",
    ),
    "transfer_below_minimum": (409, "Too few points to give away at once", "Give at least {minimum} points."),
    "beyond_day_limit": (
        409,
        "More points than can be given away on one day",
        "A member gives at most {limit} points on one day, and has given {given} today: give fewer, or wait a day.",
    ),
    "beyond_month_limit": (
        409,
        "More points than can be given away in one month",
        "A member gives at most {limit} points in one month, and has given {given} in this one: give fewer, or wait.",
    ),
    "member_erased": (
        MEMBER_ERASED.status,
        MEMBER_ERASED.title,
        "The member asked to be forgotten, so nothing can be asked for until the shop registers the member anew.",
    ),
    "reward_unknown": (
        404,
        "No such reward",
        "The program in force has no such reward: look at the catalogue, /v1/rewards.",
    ),
    "reward_asked": (
        409,
        "The reward is not issued yet",
        "The stock has not answered yet whether one is left: read the redemption again in a moment.",
    ),
    "reward_drawn": (409, "A draw cannot be returned", "Its result is known already."),
    "sold_out": (409, "Sold out", "None of this reward is left. The points are back in the lots they came from."),
    "out_of_range": (
        409,
        "The member's points would pass their bound",
        "A member has at most 2^53 - 1 points in any one total. Nothing was booked.",
    ),
}
"""The HTTP status of each refusal, its title, and what to do about it."""
_CODES: Final[Mapping[Refusal, str]] = {"make_up_not_offered": "streak-repair-not-offered"}
"""The codes of problems that differ from the refusal's own word, which the journal stores."""
REFUSALS: Final[Mapping[Refusal, tuple[Kind, str]]] = {
    why: (kind(_CODES.get(why, why.replace("_", "-")), title, status), detail)
    for why, (status, title, detail) in _REFUSALS.items()
}
"""The problem of each refusal: its kind, and what to do about it."""

_CREATING: Final = (HoldPoints, RedeemPoints, RedeemReward, RepairStreak, SendPoints)
"""The commands that create something, which a 201 answers."""


class Answer(msgspec.Struct, frozen=True):
    """An HTTP status and a JSON body: a problem document from 400 on."""

    status: int
    body: bytes


def answer_of(member_id: str, row: NewJournalRow) -> Answer:
    """The answer to a journalled command."""
    outcome, input_ = row.outcome, row.arrival.input_
    available, pending, held, debt = row.balance
    balance = {"available": available, "pending": pending, "held": held, "debt": debt}
    if outcome.kind == "refused":
        of, detail = REFUSALS[outcome.detail]  # type: ignore[index]
        problem = Problem(of, detail.format(**balance, **outcome.figures), balance=balance)
        return Answer(of.status, orjson.dumps(problem.document() | outcome.figures))
    match input_:
        case HoldPoints() | CaptureHold() | ReleaseHold():
            assert isinstance(outcome.reply, Hold)
            body = hold_json(member_id, input_.hold, outcome.reply, row.now)
        case RedeemPoints() | RedeemReward() | ReturnRedemption():
            assert isinstance(outcome.reply, Redemption)
            body = redemption_json(member_id, input_.redemption, outcome.reply)
        case AddCodes():
            assert isinstance(outcome.reply, CodePool)
            return Answer(200, orjson.dumps(pool_json(member_id, outcome.reply)))
        case SendPoints():
            assert isinstance(outcome.reply, Transfer)
            body = transfer_json(member_id, input_.transfer, outcome.reply)
        case RepairStreak():
            body = {"member_id": member_id, "day": date.fromordinal(input_.day).isoformat()}
        case DecideShortfall():
            body = {"member_id": member_id, "ref": input_.ref}
        case _:
            raise AssertionError(f"{row.type} is no command")
    body |= {"balance": balance, "version": row.version}
    return Answer(201 if isinstance(input_, _CREATING) else 200, orjson.dumps(body))


def out_of_range() -> Answer:
    """The answer to a command that would pass a bound (O12). It is not journalled, and not kept."""
    of, detail = REFUSALS["out_of_range"]
    return Answer(of.status, orjson.dumps(Problem(of, detail).document()))


def key_reused() -> Answer:
    """The answer to a request whose Idempotency-Key was used for another request."""
    return Answer(KEY_REUSED.status, orjson.dumps(key_reused_problem().document()))


def key_reused_problem() -> Problem:
    """The same, where no answer was looked for."""
    return Problem(KEY_REUSED, "An Idempotency-Key names one request on one path: send a new key.")


def hold_json(member_id: str, hold_id: str, hold: Hold, now: Micros) -> dict[str, Any]:
    """A hold as the contract has it. It is timed out from its `expires_at` on, whether or not that was booked yet."""
    timed_out = hold.state == "open" and hold.expires_at <= now
    ended_at = hold.expires_at if timed_out else hold.ended_at
    return {
        "hold_id": hold_id,
        "member_id": member_id,
        "reference": hold.reference,
        "points": hold.points,
        "state": "timed_out" if timed_out else hold.state,
        "captured": hold.captured,
        "returned": hold.surplus,
        "made_at": rfc3339(hold.made_at),
        "expires_at": rfc3339(hold.expires_at),
        **({"ended_at": rfc3339(ended_at)} if ended_at else {}),
        **order_json(hold.order),
    }


def redemption_json(member_id: str, redemption_id: str, redemption: Redemption) -> dict[str, Any]:
    """A redemption as the contract has it."""
    return {
        "redemption_id": redemption_id,
        "member_id": member_id,
        "reference": redemption.reference,
        "points": redemption.points,
        "returned": redemption.returned + redemption.surplus,
        "made_at": rfc3339(redemption.made_at),
        **order_json(redemption.order),
        **(_reward_json(redemption) if redemption.reward else {}),
    }


def _reward_json(redemption: Redemption) -> dict[str, Any]:
    """The fields about the reward that a redemption bought."""
    return {
        "reward": redemption.reward,
        "kind": redemption.kind,
        "state": _reward_state(redemption),
        **({"code": redemption.code} if redemption.code else {}),
        **({"draw": _draw_json(redemption)} if redemption.nonce else {}),
    }


def _reward_state(redemption: Redemption) -> str:
    """What became of the reward: all of its points returned, it is no longer issued."""
    if redemption.state != "done":
        return redemption.state
    return "returned" if redemption.is_given_back else "issued"


def _draw_json(redemption: Redemption) -> dict[str, str | None]:
    return {"nonce": redemption.nonce, "prize": redemption.prize or None, "reward": redemption.issues or None}


def pool_json(account: str, pool: CodePool) -> dict[str, Any]:
    """A pool of codes as the contract has it; `account` is the account of the reward's stock."""
    return {"pool": account.removeprefix(REWARD), "added": pool.added, "left": pool.added - pool.taken}


def transfer_json(member_id: str, transfer_id: str, transfer: Transfer) -> dict[str, Any]:
    """A transfer as the contract has it; `member_id` is the sender's."""
    return {
        "transfer_id": transfer_id,
        "from": member_id,
        "to": transfer.to,
        "reference": transfer.reference,
        "points": transfer.points,
        "state": transfer.state,
        "made_at": rfc3339(transfer.made_at),
        **({"arrived_at": rfc3339(transfer.arrived_at)} if transfer.arrived_at else {}),
    }


def order_json(ref: str) -> dict[str, str]:
    """`shop` and `order_id` of a ref; empty if it is not about an order."""
    order = order_of(ref)
    return {"shop": order[0], "order_id": order[1]} if order else {}


def ref_json(ref: str) -> dict[str, str]:
    """`hold_id` or `redemption_id` of an entry's ref; empty if it is about neither."""
    if ref.startswith(HOLD):
        return {"hold_id": ref.removeprefix(HOLD)}
    return {"redemption_id": ref.removeprefix(REDEMPTION)} if ref.startswith(REDEMPTION) else {}
