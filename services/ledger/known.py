"""Which inputs of a batch were booked or answered before (O1), in earlier batches or earlier in this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas.events import RefusalReason, Refused
from services.kit import metrics
from services.kit.calendar import Micros
from services.kit.kafka import Shard
from services.kit.postgres import Connection
from services.ledger import store
from services.ledger.answers import Answer, key_reused
from services.ledger.domain.state.inputs import (
    AnyInput,
    decode_fields,
    decode_input,
    encode_input,
    with_plain_quantities,
)
from services.ledger.inputs import Booked, Known, MemberCommand, Placed


class KnownInputs:
    """Events that are journalled, and commands that are answered."""

    def __init__(
        self, journalled: dict[tuple[bytes, Micros], bytes], answered: dict[bytes, tuple[bytes, Answer]]
    ) -> None:
        self._journalled = journalled
        self._answered = answered
        self._first: dict[bytes, tuple[int, MemberCommand]] = {}
        self._repeats: list[tuple[int, MemberCommand]] = []

    @classmethod
    async def read(cls, tx: Connection, shard: Shard, members: Mapping[str, Sequence[Placed]]) -> KnownInputs:
        """Reads what is known of a batch, by member id; the members' accounts are locked."""
        inputs = [input_ for each in members.values() for _, input_ in each]
        events = [input_.arrival for input_ in inputs if not isinstance(input_, MemberCommand)]
        commands = [input_.arrival for input_ in inputs if isinstance(input_, MemberCommand)]
        journalled = await store.journalled(tx, shard, events) if events else {}
        answered: dict[bytes, tuple[bytes, Answer]] = {}
        if commands:
            now = max(arrival.now for arrival in commands)
            for row in (await store.answers(tx, shard, [arrival.digest for arrival in commands], now)).values():
                answered[row["digest"]] = row["request"], Answer(row["status"], row["body"])
        return cls(journalled, answered)

    def new_inputs(self, inputs: Sequence[Placed], outcomes: list[Booked | Refused]) -> list[Placed]:
        """The inputs of a member that are new; the outcomes of the others are put into their places."""
        new: dict[tuple[bytes, Micros], Placed] = {}
        for place, each in inputs:
            input_, digest = each.arrival.input_, each.arrival.digest
            if isinstance(each, MemberCommand):
                if digest in self._answered:
                    outcomes[place] = repeated_answer(each, *self._answered[digest])
                elif digest in self._first:
                    self._repeats.append((place, each))
                else:
                    self._first[digest] = new[digest, input_.at] = (place, each)
                continue
            before = self._journalled.get((digest, input_.at))
            if before is None and (digest, input_.at) in new:
                before = encode_input(new[digest, input_.at][1].arrival.input_)
            if before is None:
                new[digest, input_.at] = (place, each)
            else:
                outcomes[place] = Known() if _is_same(before, input_) else _conflict()
        return list(new.values())

    def answer_repeats(self, outcomes: list[Booked | Refused]) -> None:
        """Answers commands that came twice in this batch as the first of them was answered."""
        for place, command in self._repeats:
            first_place, first = self._first[command.arrival.digest]
            answer = outcomes[first_place]
            outcomes[place] = repeated_answer(command, first.request, answer) if isinstance(answer, Answer) else answer


def _is_same(journalled: bytes, input_: AnyInput) -> bool:
    """Whether an input is the one that was journalled.

    Older rows have other bytes: fewer fields (K4), of which those that they have are equal, and quantities as their
    publisher spelled them (O12).
    """
    arrived = encode_input(input_)
    if journalled == arrived:
        return True
    had = len(decode_fields(journalled))
    plain = encode_input(with_plain_quantities(decode_input(journalled)))
    return decode_fields(plain)[:had] == decode_fields(arrived)[:had]


def repeated_answer(command: MemberCommand, request: bytes, answer: Answer) -> Answer:
    """The answer to a command whose key has an answer: the same one for the same request, a problem for another."""
    return answer if command.request == request else key_reused()


def _conflict() -> Refused:
    metrics.count("alarms_total", kind="conflict")
    return Refused(RefusalReason.CONFLICT, "data", "this event was received before with another payload")
