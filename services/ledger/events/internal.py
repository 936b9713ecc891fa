"""Renders the messages that one account sends to another, for example to the receiver of a transfer.

They go over a topic of the ledger's own, because the other account may be on another shard. A message is written in the
transaction of what it follows from; the other shard reads it as an input like any other (`events.inbound`).
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final, assert_never

from services.kit import cloudevent
from services.kit.calendar import NEVER, rfc3339
from services.kit.kafka import Shard
from services.kit.outbox import OutboxRow
from services.ledger.domain.batch import NewJournalRow
from services.ledger.domain.state.messages import (
    AccountMessage,
    AskBudget,
    AskReward,
    BudgetAnswered,
    GiveBackReward,
    KeepReward,
    LotPart,
    ReceivePoints,
    ReferralAnswered,
    ReferralReceived,
    RewardAnswered,
    TransferArrived,
)
from services.ledger.domain.state.outcome import SOURCE, Message, Referral
from services.ledger.domain.state.refs import order_of
from services.ledger.events.inbound import TYPES
from services.ledger.inputs import Sender
from services.ledger.lost_future import sender_header

INTERNAL: Final = "loyalty.internal.v1"


def internal_messages(shard: Shard, member_id: str, row: NewJournalRow, epoch: int = 0) -> list[OutboxRow]:
    """The messages of a journal row of `member_id`, each keyed by the account that receives it.

    A header names the row, so that a ledger which was restored to before it knows that it never sent them (C3).
    """
    outcome = row.outcome
    if not (outcome.messages or outcome.referrals):
        return []
    messages = [*outcome.messages, *(referral_message(member_id, row, each) for each in outcome.referrals)]
    headers = (*cloudevent.HEADERS, sender_header(Sender(epoch, shard, member_id, row.version, row.head)))
    return [OutboxRow(shard, INTERNAL, message.to.encode(), _render(message), headers) for message in messages]


def referral_message(member_id: str, row: NewJournalRow, referral: Referral) -> Message:
    """What a member's referrer has to know, as a message to the referrer's account."""
    message_id = f"{member_id}:{row.version}:referral"
    at = referral.at or row.now
    received = ReferralReceived(SOURCE, message_id, at, member_id, referral.program, row.version, referral.told_at)
    return Message(referral.referrer, received)


def _render(message: Message) -> bytes:
    input_ = message.input_
    return cloudevent.structured(
        id=input_.id,
        source=input_.source,
        type=TYPES[input_.__struct_config__.tag],  # type: ignore[index]
        subject=message.to,
        time=rfc3339(input_.at),
        data=_data_json(input_),
    )


def _data_json(input_: AccountMessage) -> dict[str, Any]:
    match input_:
        case ReceivePoints():
            lots = [_lot_json(part) for part in input_.lots]
            return {"transfer_id": input_.transfer, "sender": input_.sender, "lots": lots}
        case TransferArrived():
            return {"transfer_id": input_.transfer}
        case ReferralReceived():
            told_at = {"told_at": rfc3339(input_.told_at)} if input_.told_at else {}
            return {"member": input_.member, "program": input_.stands_under, "seen": input_.seen, **told_at}
        case ReferralAnswered():
            return {
                "referrer": input_.referrer,
                "granted": input_.granted,
                "why": input_.why,
                "seen": input_.seen,
                "version": input_.version,
            }
        case AskReward():
            return {"redemption_id": input_.redemption, "member_id": input_.member, "reward": input_.reward}
        case RewardAnswered():
            code = {"code": input_.code} if input_.code else {}
            return {"redemption_id": input_.redemption, "granted": input_.granted, **code}
        case GiveBackReward() | KeepReward():
            return {"redemption_id": input_.redemption}
        case AskBudget():
            return {
                "member_id": input_.member,
                "points": input_.points,
                "asked": input_.asked,
                "program": input_.program,
                **_order_json(input_.order),
            }
        case BudgetAnswered():
            return {"account": input_.account, "points": input_.points, "asked": input_.asked} | _order_json(
                input_.order
            )
        case _:
            assert_never(input_)


def _order_json(ref: str) -> dict[str, str]:
    order = order_of(ref)
    assert order is not None, ref
    return {"shop": order[0], "order_id": order[1]}


def _lot_json(part: LotPart) -> dict[str, Any]:
    lot: dict[str, Any] = {"points": part.points}
    if part.lot_day != NEVER:
        lot["last_day"] = date.fromordinal(part.lot_day).isoformat()
    if part.parent:
        lot["parent"] = date.fromordinal(part.parent).isoformat()
    return lot
