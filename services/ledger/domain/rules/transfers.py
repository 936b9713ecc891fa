"""Transfers: each half is booked on its own account, against `in_transit`.

The sender's half sends the lots it took to the receiver's account; that account books them and answers the sender's,
which then knows that the transfer is done. Each half leaves a fact, so a message that comes twice books nothing the
second time.

SQL: `facts`, `spendable_lots`.
"""

from __future__ import annotations

from services.kit.calendar import first_of_month
from services.ledger.domain.posting.posting import Posting
from services.ledger.domain.rules.refusals import refused
from services.ledger.domain.state.fact_keys import GIVEN, arrival_key, transfer_key
from services.ledger.domain.state.inputs import SendPoints
from services.ledger.domain.state.messages import LotPart, ReceivePoints, TransferArrived
from services.ledger.domain.state.outcome import SOURCE, Message, Outcome
from services.ledger.domain.state.transfers import Arrived, Given, Transfer, decode_given, decode_transfer, encode


def send_points(posting: Posting, command: SendPoints) -> Outcome:
    """The sender's half: available points leave in spending order (E6), as far as the program lets them (X1), and the
    receiver's account gets their lots."""
    member, key = posting.member, transfer_key(command.transfer)
    if command.points <= 0:
        return refused("points_not_positive")
    if member.fact(key) is not None:
        return refused("reference_used")
    given, refusal = _give(posting, command.points)
    if refusal is not None:
        return refusal
    if command.points > member.account.available:
        return refused("insufficient_points")
    if given is not None:
        member.facts[GIVEN] = encode(given)
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


def _give(posting: Posting, points: int) -> tuple[Given | None, Outcome | None]:
    """X1: what is given away with so many points more, None where nobody counts it; and why they are too many or too
    few, or may not be given at all. The program in force says so, as of the command's local day."""
    program = posting.programs.at(posting.now)
    giving = program.giving
    if not giving.allowed:
        return None, refused("transfers_not_allowed")
    if points < giving.minimum:
        return None, refused("transfer_below_minimum", minimum=giving.minimum)
    if not posting.programs.limit_giving:
        return None, None
    day = program.calendar.day_of(posting.now)
    given = decode_given(posting.member.fact(GIVEN))
    given.add(points, day, first_of_month(day))
    if giving.per_day is not None and given.on_day > giving.per_day:
        return None, refused("beyond_day_limit", limit=giving.per_day, given=given.on_day - points)
    if giving.per_month is not None and given.in_month > giving.per_month:
        return None, refused("beyond_month_limit", limit=giving.per_month, given=given.in_month - points)
    return given, None


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
