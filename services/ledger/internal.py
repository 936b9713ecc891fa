"""What one shard tells another, on a topic of the ledger's own: written with the half that is booked here, and an input
like any other there (`intake` reads it back)."""

from __future__ import annotations

from datetime import date
from typing import Any, Final, assert_never

import orjson

from services.kit.calendar import NEVER, rfc3339
from services.kit.outbox import OutboxRow
from services.ledger.announcement import HEADERS
from services.ledger.domain.batch import JournalRow
from services.ledger.domain.inputs import (
    AskBudget,
    AskReward,
    Between,
    BudgetAnswered,
    GiveBackReward,
    LotPart,
    ReceivePoints,
    ReferralTold,
    RewardAnswered,
    TransferArrived,
)
from services.ledger.domain.outcome import SOURCE, Message, Referral
from services.ledger.domain.refs import order_of
from services.ledger.intake import TYPES

INTERNAL: Final = "loyalty.internal.v1"


def letters(shard: int, member_id: str, row: JournalRow) -> list[OutboxRow]:
    """What the outcome of a member's journal row has to tell other accounts, each keyed by the account it is for."""
    outcome = row.outcome
    if not (outcome.messages or outcome.referrals):
        return []
    messages = [*outcome.messages, *(_referral(member_id, row, each) for each in outcome.referrals)]
    return [OutboxRow(shard, INTERNAL, message.to.encode(), _rendered(message), HEADERS) for message in messages]


def _referral(member_id: str, row: JournalRow, told: Referral) -> Message:
    name = f"{member_id}:{row.version}:referral"
    at = told.at or row.now
    return Message(told.referrer, ReferralTold(SOURCE, name, at, member_id, told.program, row.version))


def _rendered(message: Message) -> bytes:
    given = message.given
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": given.id,
            "source": given.source,
            "type": TYPES[given.__struct_config__.tag],  # type: ignore[index]
            "subject": message.to,
            "time": rfc3339(given.at),
            "datacontenttype": "application/json",
            "data": _data(given),
        }
    )


def _data(given: Between) -> dict[str, Any]:
    match given:
        case ReceivePoints():
            lots = [_lot(part) for part in given.lots]
            return {"transfer_id": given.transfer, "sender": given.sender, "lots": lots}
        case TransferArrived():
            return {"transfer_id": given.transfer}
        case ReferralTold():
            return {"member": given.member, "program": given.stands_under, "seen": given.seen}
        case AskReward():
            return {"redemption_id": given.redemption, "member_id": given.member, "reward": given.reward}
        case RewardAnswered():
            code = {"code": given.code} if given.code else {}
            return {"redemption_id": given.redemption, "granted": given.granted, **code}
        case GiveBackReward():
            return {"redemption_id": given.redemption}
        case AskBudget():
            asked = {"member_id": given.member, "points": given.points, "asked": given.asked, "program": given.program}
            return asked | _order(given.order)
        case BudgetAnswered():
            return {"account": given.account, "points": given.points, "asked": given.asked} | _order(given.order)
        case _:
            assert_never(given)


def _order(ref: str) -> dict[str, str]:
    order = order_of(ref)
    assert order is not None, ref
    return {"shop": order[0], "order_id": order[1]}


def _lot(part: LotPart) -> dict[str, Any]:
    lot: dict[str, Any] = {"points": part.points}
    if part.lot_day != NEVER:
        lot["last_day"] = date.fromordinal(part.lot_day).isoformat()
    if part.parent:
        lot["parent"] = date.fromordinal(part.parent).isoformat()
    return lot
