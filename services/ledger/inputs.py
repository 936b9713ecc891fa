"""What the executor is asked to book: inputs of members, commands, and records for another shard's partition."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import structs

from services.kit.calendar import Micros
from services.kit.kafka import Shard
from services.ledger.answers import Answer
from services.ledger.domain.batch import Arrival
from services.ledger.domain.state.outcome import Outcome


class MemberInput(msgspec.Struct, frozen=True):
    """An input, and the member whose account it is booked on."""

    member_id: str
    arrival: Arrival


class Sender(NamedTuple):
    """The journal row that a message between accounts follows from: in which epoch and shard it was written, of which
    account, and the chain's head behind it."""

    epoch: int
    shard: Shard
    member_id: str
    version: int
    head: bytes


class MemberMessage(MemberInput, frozen=True):
    """A message from another account."""

    sender: Sender


class MemberCommand(MemberInput, frozen=True):
    """A command. Its answer is kept under the arrival's digest, for requests with the same body; `request` is the
    digest of the body."""

    request: bytes


def arriving_by(input_: MemberInput, latest: Micros) -> MemberInput:
    """The input, as if it had arrived at an instant if it arrived later."""
    arrival = input_.arrival
    return input_ if arrival.now <= latest else structs.replace(input_, arrival=structs.replace(arrival, now=latest))


class Misrouted(msgspec.Struct, frozen=True):
    """A record that its publisher put on another shard's partition. It is counted, and sent on under the right key."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Known(msgspec.Struct, frozen=True):
    """The outcome of an event that was booked before: nothing happens (O1)."""


Booked = Outcome | Answer | Misrouted | Known | None
"""What becomes of an input that is not refused."""

Placed = tuple[int, MemberInput]
"""An input with its place in the batch, where its outcome belongs."""
