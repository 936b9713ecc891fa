"""Transfers: each half is booked on its own account, against `in_transit`.

The sender's half tells the receiver's account which lots it took (`Outcome.messages`); that account books them and
tells the sender's in turn, which then knows that the transfer is done. A message that comes twice finds the fact that
its first coming left, so each half is booked once, however often it is told.
"""

from __future__ import annotations

from services.ledger.domain.posting.account import Cause
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.inputs import LotPart, ReceivePoints, SendPoints, TransferArrived
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.transfers import Arrived, Transfer, arrival_key, decode_transfer, encode, transfer_key


def send_points(member: Member, programs: ProgramVersions, moves: Posting, input_: SendPoints) -> Outcome:
    """The sender's half: available points leave in spending order (E6), and their lots are told to the receiver's."""
    key = transfer_key(input_.transfer)
    if input_.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    if input_.points > member.account.available:
        return refused("insufficient_points")
    taken = moves.send(input_.points, Cause.at(programs, "transfer", key, moves.now))
    transfer = Transfer(input_.reference, input_.to, input_.points, moves.now)
    member.facts[key] = encode(transfer)
    # What slid keeps the day that it had.
    until = member.lots.last_day
    lots = tuple(LotPart(until(part.lot_day), until(part.parent), part.points) for part in taken)
    told = ReceivePoints(SOURCE, f"{input_.transfer}:sent", moves.now, input_.transfer, member.account.member_id, lots)
    return Outcome("booked", reply=transfer, messages=[Message(input_.to, told)])


def receive_points(member: Member, programs: ProgramVersions, moves: Posting, input_: ReceivePoints) -> Outcome:
    """The receiver's half: each lot keeps its last day; debt comes first, and what is over expires (P6)."""
    key = arrival_key(input_.transfer)
    if member.fact(key) is not None:
        return Outcome("known", "this transfer is booked already")
    cause = Cause.at(programs, "transfer", transfer_key(input_.transfer), moves.now)
    for part in input_.lots:
        moves.receive((part.lot_day, part.parent), part.points, cause)
    member.facts[key] = encode(Arrived(input_.sender, sum(part.points for part in input_.lots), moves.now))
    told = TransferArrived(SOURCE, f"{input_.transfer}:arrived", moves.now, input_.transfer)
    return Outcome("booked", messages=[Message(input_.sender, told)])


def finish_transfer(member: Member, input_: TransferArrived) -> Outcome:
    """The sender's account hears that the receiver's half is booked. No point moves."""
    key = transfer_key(input_.transfer)
    raw = member.fact(key)
    if raw is None:
        return Outcome("known", "this account sent no such transfer")
    transfer = decode_transfer(raw)
    if transfer.state == "done":
        return Outcome("known", "this transfer is done already")
    transfer.state, transfer.arrived_at = "done", input_.at
    member.facts[key] = encode(transfer)
    return Outcome("booked")
