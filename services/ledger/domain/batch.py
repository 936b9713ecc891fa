"""Folding one member's inputs of a batch into what has to be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from services.kit.calendar import Day, Micros
from services.ledger.domain.chain import encode_record, next_head
from services.ledger.domain.decide import decide
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.rules.bounds import Bounds
from services.ledger.domain.state.account import Account
from services.ledger.domain.state.inputs import AnyInput, encode_input, type_of
from services.ledger.domain.state.loaded import Loaded, Missing
from services.ledger.domain.state.member import Member
from services.ledger.domain.state.outcome import Outcome


class Arrival(msgspec.Struct, frozen=True):
    """An input with its digest and its arrival: the broker's append time, or the clock for a command."""

    digest: bytes
    input_: AnyInput
    now: Micros


@dataclass(slots=True)
class NewJournalRow:
    """What becomes of one input, ready to write, with the balance and the last days of sliding lots at that moment."""

    arrival: Arrival
    type: str
    version: int
    now: Micros
    input_: bytes
    record: bytes
    head: bytes
    outcome: Outcome
    balance: tuple[int, int, int, int]
    sliding_last_days: tuple[Day, ...]


@dataclass(slots=True)
class Fold:
    """One member folded: its changed state and its new journal rows, one an outcome."""

    member: Member
    rows: list[NewJournalRow] = field(default_factory=list)
    outcomes: list[Outcome | None] = field(default_factory=list)


def fold_member(
    programs: ProgramVersions,
    account: Callable[[], Account],
    loaded: Loaded,
    arrivals: Sequence[Arrival],
    *,
    bounded: bool = True,
) -> Fold:
    """Fold a member's inputs in order. Raises `Missing` when more has to be read.

    An exception makes the outcome of its input `failed`, and a total beyond its bound `out_of_range` (O12). The fold
    then starts again without that input, so that nothing of it remains and the rest of the batch goes on. Without
    `bounded` no bound is looked at: what is journalled was let in when it was booked.
    """
    left_out: dict[int, Outcome] = {}
    while True:
        fold = Fold(Member(account(), loaded))
        bounds = Bounds(fold.member.account, programs.decimals)
        for index, arrival in enumerate(arrivals):
            if index in left_out:
                # Its record is the dead letter; without a journal row it may be driven again.
                fold.outcomes.append(left_out[index])
                continue
            try:
                outcome = decide(programs, fold.member, arrival.input_, arrival.now)
            except Missing:
                raise
            except Exception as error:
                left_out[index] = Outcome("failed", f"{type(error).__name__}: {error}")
                break
            if bounded and (figure := bounds.passed_by(arrival.input_)) is not None:
                left_out[index] = Outcome("out_of_range", figure)
                break
            fold.outcomes.append(outcome)
            if outcome is not None:
                fold.rows.append(_journal(fold.member.account, arrival, outcome))
        else:
            return fold


def _journal(account: Account, arrival: Arrival, outcome: Outcome) -> NewJournalRow:
    input_, record = encode_input(arrival.input_), encode_record(outcome)
    at = arrival.input_.at
    link = (arrival.digest, account.version, at, account.now, input_, record, outcome.entries)
    account.head = next_head(account.head, link)
    return NewJournalRow(
        arrival=arrival,
        type=type_of(arrival.input_),
        version=account.version,
        now=account.now,
        input_=input_,
        record=record,
        head=account.head,
        outcome=outcome,
        balance=(account.available, account.pending, account.held, account.debt),
        sliding_last_days=tuple(account.details.sliding_last_days),
    )
