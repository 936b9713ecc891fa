"""Messages of a lost future (C3): the ledger was restored from a backup, and what it sent after that is still there.

A message between accounts names the journal row that it follows from, by the sender's version and the chain's head
behind it. A restored ledger has that row or it does not, and then the message is refused: its receiver would get points
that no sender has given. The fact that caused it comes again, and if the sender then sends the same, that is booked.

Of a refused message only a line of the log is kept: what clients were told of is found in the facts (`restored`). All
this is asked only about messages of an epoch that is over, so it costs nothing where nothing was ever restored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from schemas.events import Refused
from services.kit import metrics
from services.kit.kafka import Headers, Shard
from services.kit.postgres import Connection, Queries
from services.ledger.domain.state.outcome import Outcome
from services.ledger.inputs import Booked, MemberMessage, Placed, Sender

SQL: Final = Queries.load("services.ledger", "sql/lost_future.sql", require=("sent",))
SENDER_HEADER: Final = "loyalty-sender"
"""The header of a message between accounts that names the journal row which sent it."""
OF_A_LOST_FUTURE: Final = "of_a_lost_future"
"""Why a message is refused that its sender's journal does not know."""
_log: Final = structlog.get_logger("ledger")
UNKNOWN: Final = Sender(0, Shard(0), "", 0, b"")
"""The sender of a message that names none: it was sent by a release that knew no epochs."""


def sender_header(sender: Sender) -> tuple[str, bytes]:
    """The header that names a sender."""
    place = f"{sender.epoch}:{sender.shard}:{sender.version}:{sender.head.hex()}:{sender.member_id}"
    return SENDER_HEADER, place.encode()


def sender_of(headers: Headers) -> Sender:
    """The sender that a record's headers name; `UNKNOWN` if none."""
    for name, value in headers:
        if name == SENDER_HEADER:
            epoch, shard, version, head, member_id = value.decode().split(":", 4)
            return Sender(int(epoch), Shard(int(shard)), member_id, int(version), bytes.fromhex(head))
    return UNKNOWN


async def refuse_lost(
    tx: Connection, epoch: int, members: Mapping[str, list[Placed]], outcomes: list[Booked | Refused]
) -> None:
    """Take the messages of a lost future out of a batch, by member, and put their refusals into their places."""
    old = [
        (place, each.sender)
        for placed in members.values()
        for place, each in placed
        if isinstance(each, MemberMessage) and each.sender.epoch < epoch
    ]
    if not old:
        return
    senders = [sender for _, sender in old]
    rows = await tx.fetch(
        SQL.sent,
        [sender.shard for sender in senders],
        [sender.member_id for sender in senders],
        [sender.version for sender in senders],
        [sender.head for sender in senders],
    )
    known = {row["n"] - 1 for row in rows}
    lost = {place for n, (place, _) in enumerate(old) if n not in known}
    for place, sender in old:
        if place in lost:
            outcomes[place] = Outcome("refused", OF_A_LOST_FUTURE)
            metrics.count("alarms_total", kind=OF_A_LOST_FUTURE)
            _log.warning(OF_A_LOST_FUTURE, epoch=sender.epoch, shard=sender.shard, version=sender.version)
    for placed in members.values():
        placed[:] = [(place, each) for place, each in placed if place not in lost]
