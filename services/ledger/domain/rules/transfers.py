"""Transfers: each half is booked on its own account, against `in_transit`.

The sender's half sends the lots it took to the receiver's account; that account books them and answers the sender's,
which then knows that the transfer is done. Each half leaves a fact, so a message that comes twice books nothing the
second time.

SQL: `facts`, `spendable_lots`.
"""

from __future__ import annotations

from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.fact_keys import arrival_key, transfer_key
from services.ledger.domain.state.inputs import SendPoints
from services.ledger.domain.state.messages import LotPart, ReceivePoints, TransferArrived
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.transfers import Arrived, Transfer, decode_transfer, encode


def send_points(posting: Posting, command: SendPoints) -> Outcome:
    """The sender's half: available points leave in spending order (E6), and the receiver's account gets their lots."""
    member, key = posting.member, transfer_key(command.transfer)
    if command.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if command.points > member.account.available:
        return refused("insufficient_points")
    allocations = posting.send(command.points, posting.cause("transfer", key, posting.now))
    transfer = Transfer(command.reference, command.to, command.points, posting.now)
    member.facts[key] = encode(transfer)
    # Points that slid keep the last day that they had.
    last_day = member.lots.last_day
    lots = tuple(LotPart(last_day(each.lot_day), last_day(each.parent), each.points) for each in allocations)
    sent = ReceivePoints(
        SOURCE, f"{command.transfer}:sent", posting.now, command.transfer, member.account.member_id, lots
    )
    return Outcome("booked", reply=transfer, messages=[Message(command.to, sent)])


def receive_points(posting: Posting, sent: ReceivePoints) -> Outcome:
    """The receiver's half: each lot keeps its last day; debt is paid first, and past lots expire (P6)."""
    member, key = posting.member, arrival_key(sent.transfer)
    if member.fact(key) is not None:
        return Outcome("known", "this transfer is booked already")
    cause = posting.cause("transfer", transfer_key(sent.transfer), posting.now)
    for part in sent.lots:
        posting.receive(part.lot, part.points, cause)
    member.facts[key] = encode(Arrived(sent.sender, sum(part.points for part in sent.lots), posting.now))
    arrived = TransferArrived(SOURCE, f"{sent.transfer}:arrived", posting.now, sent.transfer)
    return Outcome("booked", messages=[Message(sent.sender, arrived)])


def finish_transfer(posting: Posting, arrived: TransferArrived) -> Outcome:
    """The sender's account learns that the receiver's half is booked. No point moves."""
    member, key = posting.member, transfer_key(arrived.transfer)
    raw = member.fact(key)
    if raw is None:
        return Outcome("known", "this account sent no such transfer")
    transfer = decode_transfer(raw)
    if transfer.state == "done":
        return Outcome("known", "this transfer is done already")
    transfer.state, transfer.arrived_at = "done", arrived.at
    member.facts[key] = encode(transfer)
    return Outcome("booked")
