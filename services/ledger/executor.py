"""The one write path: a batch of one shard's inputs becomes a few array-shaped statements of one transaction.

lock accounts → what is journalled already → what the fold needs → fold, member by member → write. The transaction,
its fence and its retries are the kit's (`services.kit.executor`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

import asyncpg
import msgspec
import structlog

from schemas.events import RefusalReason, Refused
from services.kit import metrics
from services.kit.calendar import Micros
from services.kit.faults import fault
from services.kit.outbox import OutboxRow
from services.kit.postgres import Connection
from services.ledger import store
from services.ledger.answers import Answer, answer_of, key_reused
from services.ledger.domain.batch import Arrival, Fold, fold_member
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.inputs import encode_input
from services.ledger.domain.state.loaded import Loaded, Missing, Needs
from services.ledger.domain.state.outcome import Outcome
from services.ledger.events.internal import INTERNAL, internal_messages
from services.ledger.events.outbound import render_facts
from services.ledger.months import Months
from services.ledger.needs import FRESH, fact_key, sure_needs
from services.ledger.writes import FEW, AnswerRow, write, write_if_unchanged

FOLD_SLICE: Final = 200
"""Inputs folded between two yields to the event loop: some 10 ms, so that reads and heartbeats go on."""
_log = structlog.get_logger("ledger")


class MemberInput(msgspec.Struct, frozen=True):
    """An input with the member it is told of."""

    member_id: str
    arrival: Arrival


class MemberCommand(MemberInput, frozen=True):
    """A command. Its answer is kept under the arrival's digest, for requests of the same body (`request`)."""

    request: bytes


class Misrouted(msgspec.Struct, frozen=True):
    """A record that its publisher put on another shard's partition: sent on, keyed right, and counted."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Known(msgspec.Struct, frozen=True):
    """The same event again: nothing happens (O1)."""


Booked = Outcome | Answer | Misrouted | Known | None


class Ledger:
    """Books batches. It asks in each whether there is a newer program than it knows."""

    def __init__(self) -> None:
        self.programs = store.KnownPrograms()
        self.months = Months()

    async def book(
        self, tx: Connection, shard: int, inputs: Sequence[MemberInput | Misrouted]
    ) -> Sequence[Booked | Refused]:
        """Book inputs of one shard in the given transaction; one outcome each, in order."""
        outcomes: list[Booked | Refused] = [None] * len(inputs)
        outbox: list[OutboxRow] = []
        answers: list[AnswerRow] = []
        work: list[_Work] = []
        members: dict[str, list[tuple[int, MemberInput]]] = {}
        for index, input_ in enumerate(inputs):
            if isinstance(input_, Misrouted):
                outbox.append(OutboxRow(shard, INTERNAL, input_.key, input_.value, input_.headers))
                outcomes[index] = input_
            else:
                members.setdefault(input_.member_id, []).append((index, input_))
        if members:
            rows = await store.lock_accounts(tx, shard, sorted(members))
            programs = await self.programs.up_to(next(iter(rows.values()))["newest_program"], tx)
            known = await _known(tx, shard, members)
            work = [_Work(rows[member_id], known.rest(told, outcomes)) for member_id, told in members.items()]
            work = [each for each in work if each.arrivals]
            await store.load(tx, shard, [(each.account, each.loaded, each.sure_needs()) for each in work])
            await _fold(tx, shard, programs, work)
            for each in work:
                each.answer(outcomes, answers)
            known.repeat(outcomes)
            outbox += _told(shard, work, programs)
        folds = [each.done for each in work if each.has_changed]
        fault("ledger.folded")
        with self.months.needed_by(folds):
            await write(tx, shard, folds, answers, outbox)
        fault("ledger.written")
        _count(outcomes)
        return outcomes

    async def book_optimistically(
        self, connection: Connection, shard: int, inputs: Sequence[MemberInput | Misrouted]
    ) -> Sequence[Booked | Refused] | None:
        """Book commands of different members without a transaction around: read as of one moment, fold, and write in
        a statement that stands only if none of them has moved in between.

        None, and nothing is booked, if one has, or if these inputs are no such commands: then `book` is the way.
        """
        commands = {each.member_id: (n, each) for n, each in enumerate(inputs) if isinstance(each, MemberCommand)}
        if len(commands) < len(inputs) or len(inputs) > FEW:
            return None
        asked = [(member, told.arrival.digest, fact_key(told.arrival.input_)) for member, (_, told) in commands.items()]
        rows = await store.accounts_for_commands(connection, shard, asked)
        if len(rows) < len(commands):
            return None  # an account is opened under its lock
        programs = await self.programs.up_to(next(iter(rows.values()))["newest_program"], connection)
        outcomes: list[Booked | Refused] = [None] * len(inputs)
        answers: list[AnswerRow] = []
        work = []
        for member_id, (index, told) in commands.items():
            row = rows[member_id]
            if row["at"] is not None and row["at"] > told.arrival.now - store.ANSWERS_KEPT:
                outcomes[index] = _again(told, row["request"], Answer(row["status"], row["body"]))
            else:
                work.append(_Work(row, [(index, told)]))
        await store.load(connection, shard, [(each.account, each.loaded, each.needs_beyond_row()) for each in work])
        await _fold(connection, shard, programs, work)
        for each in work:
            each.answer(outcomes, answers)
        folds = [each.done for each in work if each.done.rows]
        fault("ledger.folded")
        with self.months.needed_by(folds):
            outbox = _told(shard, work, programs)
            if folds and not await write_if_unchanged(connection, shard, folds, answers, outbox):
                return None
        _count(outcomes)
        return outcomes


async def _fold(connection: Connection, shard: int, programs: ProgramVersions, work: Sequence[_Work]) -> None:
    """Fold the members' arrivals, reading what the folds find that they lack."""
    waiting = work
    while waiting:
        missing: list[tuple[_Work, Needs]] = []
        folded = 0
        for each in waiting:
            try:
                each.fold(programs)
            except Missing as question:
                missing.append((each, question.needs))
            folded += len(each.arrivals)
            if folded >= FOLD_SLICE:
                folded = 0
                await asyncio.sleep(0)
        await store.load(connection, shard, [(each.account, each.loaded, needs) for each, needs in missing])
        waiting = [each for each, _ in missing]


def _told(shard: int, work: Sequence[_Work], programs: ProgramVersions) -> list[OutboxRow]:
    """What the outside and other accounts are told of these folds."""
    told: list[OutboxRow] = []
    for each in work:
        member_id = each.done.member.account.member_id
        for row in each.done.rows:
            told += render_facts(shard, member_id, row, programs)
            told += internal_messages(shard, member_id, row)
    return told


def _count(outcomes: Sequence[Booked | Refused]) -> None:
    """Count outcomes and alarms. A batch that has to run again counts again: these are signs, not books."""
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        match outcome:
            case Outcome():
                kinds[outcome.kind] += 1
                for alarm in outcome.alarms:
                    metrics.count("alarms_total", kind=alarm)
            case Answer():
                kinds["booked" if outcome.status < 400 else "refused"] += 1
            case Known():
                kinds["known"] += 1
            case Misrouted():
                kinds["forwarded"] += 1
            case _:
                pass
    for kind, number in kinds.items():
        metrics.count("outcomes_total", number, outcome=kind)


async def _known(tx: Connection, shard: int, members: dict[str, list[tuple[int, MemberInput]]]) -> _Known:
    """What was booked and answered already of these inputs."""
    events = [told.arrival for each in members.values() for _, told in each if not isinstance(told, MemberCommand)]
    commands = [told.arrival for each in members.values() for _, told in each if isinstance(told, MemberCommand)]
    booked = await store.journalled(tx, shard, events) if events else {}
    answered: dict[bytes, tuple[bytes, Answer]] = {}
    if commands:
        now = max(arrival.now for arrival in commands)
        for row in (await store.answers(tx, shard, [arrival.digest for arrival in commands], now)).values():
            answered[row["digest"]] = row["request"], Answer(row["status"], row["body"])
    return _Known(booked, answered)


class _Known:
    """Events booked, and commands answered, before this batch or in it."""

    def __init__(self, booked: dict[tuple[bytes, Micros], bytes], answered: dict[bytes, tuple[bytes, Answer]]) -> None:
        self._booked = booked
        self._answered = answered
        self._first: dict[bytes, tuple[int, MemberCommand]] = {}
        self._repeats: list[tuple[int, MemberCommand]] = []

    def rest(
        self, told: list[tuple[int, MemberInput]], outcomes: list[Booked | Refused]
    ) -> list[tuple[int, MemberInput]]:
        """Answer a member's inputs that are known (O1); the rest is new."""
        new: dict[tuple[bytes, Micros], tuple[int, MemberInput]] = {}
        for index, each in told:
            input_, digest = each.arrival.input_, each.arrival.digest
            if isinstance(each, MemberCommand):
                if digest in self._answered:
                    outcomes[index] = _again(each, *self._answered[digest])
                elif digest in self._first:
                    self._repeats.append((index, each))
                else:
                    self._first[digest] = new[digest, input_.at] = (index, each)
                continue
            before = self._booked.get((digest, input_.at))
            if before is None and (digest, input_.at) in new:
                before = encode_input(new[digest, input_.at][1].arrival.input_)
            if before is None:
                new[digest, input_.at] = (index, each)
            elif before == encode_input(input_):
                outcomes[index] = Known()
            else:
                metrics.count("alarms_total", kind="conflict")
                outcomes[index] = Refused(
                    RefusalReason.CONFLICT, "data", "this event was told before with another payload"
                )
        return list(new.values())

    def repeat(self, outcomes: list[Booked | Refused]) -> None:
        """Answer the commands that came twice in this batch as their first was answered."""
        for index, each in self._repeats:
            place, first = self._first[each.arrival.digest]
            answer = outcomes[place]
            outcomes[index] = _again(each, first.request, answer) if isinstance(answer, Answer) else answer


def _again(command: MemberCommand, request: bytes, answer: Answer) -> Answer:
    """The first answer again for the same request, none for another (one key, one request)."""
    return answer if command.request == request else key_reused()


class _Work:
    """One member of a batch: what was read, what arrived, and the fold once it is done."""

    __slots__ = ("_row", "account", "arrivals", "done", "loaded")

    def __init__(self, row: asyncpg.Record, arrivals: list[tuple[int, MemberInput]]) -> None:
        self._row = row
        self.account: int = row["account"]
        self.arrivals = arrivals
        self.loaded = Loaded()
        self.done: Fold

    def sure_needs(self) -> Needs:
        """What these inputs surely look at; nothing exists yet of an account without a version."""
        if self._row["version"] == 0:
            self.loaded = FRESH
            return Needs()
        needs = sure_needs(told.arrival.input_ for _, told in self.arrivals)
        now = max(told.arrival.now for _, told in self.arrivals)
        if (due := self._row["next_due"]) is not None and due <= now:
            needs.due_until, needs.spendable = now, True
        return needs

    def needs_beyond_row(self) -> Needs:
        """The same, without what `store.accounts_for_commands` has read with the row."""
        needs = self.sure_needs()
        if self.loaded is not FRESH:
            (told,) = self.arrivals
            if (key := fact_key(told[1].arrival.input_)) is not None:
                self.loaded.facts[key] = self._row["fact"]
                needs.facts.discard(key)
            self.loaded.spendable = [store.lot_of(lot) for lot in self._row["lots"] or ()]
            needs.spendable = False
        return needs

    def fold(self, programs: ProgramVersions) -> None:
        """Fold this member's arrivals; raises Missing."""
        self.done = fold_member(
            programs, lambda: store.account_of(self._row), self.loaded, [told.arrival for _, told in self.arrivals]
        )

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to write: a timer that found nothing still corrects `next_due`."""
        return bool(self.done.rows) or self.done.member.account.next_due != self._row["next_due"]

    def answer(self, outcomes: list[Booked | Refused], answers: list[AnswerRow]) -> None:
        """Put the outcomes where the batch's callers look for them; commands get an answer, which is kept."""
        rows = iter(self.done.rows)
        for (index, told), outcome in zip(self.arrivals, self.done.outcomes, strict=True):
            if outcome is None:
                continue
            if outcome.kind == "failed":
                _log.error("an input failed", input=type(told.arrival.input_).__name__, why=outcome.detail)
                outcomes[index] = Refused(RefusalReason.FAILED, None, outcome.detail)
                continue
            row = next(rows)
            outcomes[index] = outcome
            if isinstance(told, MemberCommand):
                outcomes[index] = answer = answer_of(told.member_id, row)
                answers.append((row.arrival.digest, row.now, told.request, answer.status, answer.body))
