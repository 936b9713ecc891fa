"""The one write path: a batch of one shard's inputs becomes a few statements of one transaction, each with arrays.

lock accounts → what is journalled already → what the fold needs → fold, member by member → write. The transaction,
its fence and its retries are the kit's (`services.kit.executor`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import asyncpg

from schemas.events import Refused
from services.kit import metrics
from services.kit.calendar import NOT_YET
from services.kit.faults import fault
from services.kit.kafka import Shard
from services.kit.outbox import OutboxRow
from services.kit.postgres import Connection
from services.kit.turn import Turn
from services.ledger import store
from services.ledger.answers import Answer
from services.ledger.domain.program.program import ProgramVersions
from services.ledger.domain.state.loaded import Missing, Needs
from services.ledger.domain.state.outcome import Outcome
from services.ledger.events.internal import INTERNAL, internal_messages
from services.ledger.events.outbound import render_facts
from services.ledger.horizon import Limit, without_limit
from services.ledger.inputs import Booked, Known, MemberCommand, MemberInput, Misrouted, Placed, arriving_by
from services.ledger.known import KnownInputs, repeated_answer
from services.ledger.lost_future import refuse_lost
from services.ledger.member_work import MemberWork
from services.ledger.months import Months
from services.ledger.needs import fact_key
from services.ledger.programs import KnownPrograms
from services.ledger.writes import FEW, AnswerRow, write, write_if_unchanged


class Ledger:
    """Books batches. In each it asks whether there is a newer program than it knows."""

    def __init__(self, limit: Limit = without_limit) -> None:
        """`limit` says how far the present may go on a shard (C2)."""
        self._limit = limit
        self.programs = KnownPrograms()
        self.months = Months()

    async def book(
        self, tx: Connection, shard: Shard, inputs: Sequence[MemberInput | Misrouted]
    ) -> Sequence[Booked | Refused]:
        """Book inputs of one shard in the given transaction; one outcome each, in order."""
        outcomes: list[Booked | Refused] = [None] * len(inputs)
        outbox: list[OutboxRow] = []
        answers: list[AnswerRow] = []
        works: list[MemberWork] = []
        members: dict[str, list[Placed]] = {}
        for place, input_ in enumerate(inputs):
            if isinstance(input_, Misrouted):
                outbox.append(OutboxRow(shard, INTERNAL, input_.key, input_.value, input_.headers))
                outcomes[place] = input_
            else:
                members.setdefault(input_.member_id, []).append((place, input_))
        if members:
            self._bound(shard, members)
            rows = await store.lock_accounts(tx, shard, sorted(members))
            newest_program, epoch = _newest(rows)
            if epoch:
                await refuse_lost(tx, epoch, members, outcomes)
            programs = await self.programs.up_to(newest_program, tx)
            known = await KnownInputs.read(tx, shard, members)
            new = {member_id: known.new_inputs(placed, outcomes) for member_id, placed in members.items()}
            works = [MemberWork(rows[member_id], placed) for member_id, placed in new.items() if placed]
            await store.load(tx, shard, [(each.account, each.loaded, each.sure_needs()) for each in works])
            await _fold(tx, shard, programs, works)
            for each in works:
                each.settle(outcomes, answers)
            known.answer_repeats(outcomes)
            outbox += await _events_of(shard, works, programs, epoch)
        folds = [each.fold for each in works if each.has_changed]
        fault("ledger.folded")
        with self.months.needed_by(folds):
            await write(tx, shard, folds, answers, outbox)
        fault("ledger.written")
        _count(outcomes)
        return outcomes

    async def book_optimistically(
        self, connection: Connection, shard: Shard, inputs: Sequence[MemberInput | Misrouted]
    ) -> Sequence[Booked | Refused] | None:
        """Book commands of different members without a transaction around: read as of one moment, fold, and write in
        a statement that writes nothing if one of the accounts has been changed in between.

        None, and nothing is booked, if one has, or if these inputs are not such commands: then the caller uses `book`.
        """
        commands = {each.member_id: (n, each) for n, each in enumerate(inputs) if isinstance(each, MemberCommand)}
        if len(commands) < len(inputs) or len(inputs) > FEW or self._is_bounded(shard, commands.values()):
            return None
        asked = [
            (member, command.arrival.digest, fact_key(command.arrival.input_))
            for member, (_, command) in commands.items()
        ]
        rows = await store.accounts_for_commands(connection, shard, asked)
        if len(rows) < len(commands):
            return None  # an account is opened under its lock
        newest_program, epoch = _newest(rows)
        programs = await self.programs.up_to(newest_program, connection)
        outcomes: list[Booked | Refused] = [None] * len(inputs)
        works = []
        for member_id, (place, command) in commands.items():
            row = rows[member_id]
            if row["at"] is not None and row["at"] > command.arrival.now - store.ANSWERS_KEPT:
                outcomes[place] = repeated_answer(command, row["request"], Answer(row["status"], row["body"]))
            else:
                works.append(MemberWork(row, [(place, command)]))
        await store.load(connection, shard, [(each.account, each.loaded, each.needs_beyond_row()) for each in works])
        await _fold(connection, shard, programs, works)
        answers: list[AnswerRow] = []
        for each in works:
            each.settle(outcomes, answers)
        outbox = await _events_of(shard, works, programs, epoch)
        if not await self._write_if_unchanged(connection, shard, works, answers, outbox):
            return None
        _count(outcomes)
        return outcomes

    def _is_bounded(self, shard: Shard, placed: Iterable[Placed]) -> bool:
        """Whether one of these inputs arrives later than the present may go on the shard (C2)."""
        newest = max((each.arrival.now for _, each in placed), default=NOT_YET)
        return self._limit(shard, newest) < newest

    def _bound(self, shard: Shard, members: dict[str, list[Placed]]) -> None:
        """Let no input arrive later than the present may go on the shard (C2)."""
        if self._is_bounded(shard, chain.from_iterable(members.values())):
            for placed in members.values():
                placed[:] = [(place, arriving_by(each, self._limit(shard, each.arrival.now))) for place, each in placed]

    async def _write_if_unchanged(
        self,
        connection: Connection,
        shard: Shard,
        works: Sequence[MemberWork],
        answers: Sequence[AnswerRow],
        outbox: Sequence[OutboxRow],
    ) -> bool:
        """Write what the folds have changed. False if an account was changed meanwhile."""
        folds = [each.fold for each in works if each.fold.rows]
        fault("ledger.folded")
        with self.months.needed_by(folds):
            return not folds or await write_if_unchanged(connection, shard, folds, answers, outbox)


def _newest(rows: Mapping[str, asyncpg.Record]) -> tuple[int | None, int]:
    """The number of the newest program version and the epoch (C3), which the rows of accounts have with them."""
    row = next(iter(rows.values()))
    return row["newest_program"], row["epoch"] or 0


async def _fold(connection: Connection, shard: Shard, programs: ProgramVersions, works: Sequence[MemberWork]) -> None:
    """Fold the members' inputs; where a fold lacks something, read it and fold that member again."""
    waiting, turn = works, Turn()
    while waiting:
        missing: list[tuple[MemberWork, Needs]] = []
        for each in waiting:
            try:
                each.run(programs)
            except Missing as question:
                missing.append((each, question.needs))
            if turn.is_over():
                await turn.yield_to_others()
        await store.load(connection, shard, [(each.account, each.loaded, needs) for each, needs in missing])
        waiting = [each for each, _ in missing]


async def _events_of(
    shard: Shard, works: Sequence[MemberWork], programs: ProgramVersions, epoch: int
) -> list[OutboxRow]:
    """The events that follow from these folds, for the outside and for other accounts."""
    events: list[OutboxRow] = []
    turn = Turn()
    for each in works:
        if turn.is_over():
            await turn.yield_to_others()
        member_id = each.fold.member.account.member_id
        for row in each.fold.rows:
            events += render_facts(shard, member_id, row, programs, epoch)
            events += internal_messages(shard, member_id, row, epoch)
    return events


def _count(outcomes: Sequence[Booked | Refused]) -> None:
    """Count outcomes and alarms. A batch that runs again is counted again: metrics need not be exact."""
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
