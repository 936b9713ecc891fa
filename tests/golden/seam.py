"""All that golden journals need of the services: when these move or rename something, only this file is adapted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from schemas.events import RefusalReason, Refused
from services.kit.calendar import Micros
from services.kit.executor import Executor, Fence
from services.kit.kafka import Record, shard_of
from services.ledger.consumer import TIERS, Decoder
from services.ledger.domain.batch import Arrival, NewJournalRow
from services.ledger.domain.chain import digest_of
from services.ledger.domain.state.entries import Entry as BookedEntry
from services.ledger.domain.state.inputs import decode_input
from services.ledger.events.internal import INTERNAL
from services.ledger.executor import Ledger
from services.ledger.inputs import Booked, MemberCommand, MemberInput
from services.ledger.store import SQL
from services.tiering.domain.member import Member, decide
from services.tiering.domain.program import ProgramVersions
from services.tiering.domain.program import compile_program as compile_ladder
from services.tiering.events.inbound import POINTS
from services.tiering.events.inbound import Decoder as TieringDecoder
from services.tiering.events.outbound import render
from tests.golden.rows import Entry, Row
from tests.simulation.faults import Faults
from tests.simulation.memory import Pool
from tests.simulation.tables import Database

_TIMER: Final = "/loyalty/ledger/timer"
_SHARDS: Final = 2
_FENCED: Final = "commerce.orders.v1"
"""The topic whose stored offsets every batch moves; where a record came from makes no difference to the journal."""
_HEADERS: Final = (("content-type", b"application/cloudevents+json"),)
_ALL: Final = 1_000_000

__all__ = ["Books", "Due", "Ladder", "MemberInput", "row_of"]

Document = Mapping[str, Any]


def row_of(row: NewJournalRow) -> Row:
    """A journal row as the fold has made it."""
    arrival, entries = row.arrival, tuple(map(_entry_of, row.outcome.entries))
    return Row(
        digest=arrival.digest,
        type=row.type,
        version=row.version,
        at=arrival.input_.at,
        now=row.now,
        input_=row.input_,
        record=row.record,
        head=row.head,
        entries=entries,
    )


def _entry_of(entry: BookedEntry) -> Entry:
    return Entry(
        debit=entry.debit,
        credit=entry.credit,
        points=entry.points,
        lot_day=entry.lot[0],
        lot_parent=entry.lot[1],
        rule=entry.rule,
        ref=entry.ref,
        day=entry.day,
        program=entry.program,
    )


class Due(NamedTuple):
    """Something on an account of this version is due since an instant."""

    since: Micros
    member_id: str
    version: int


class Books:
    """The ledger's write path, the real one, on a store in memory where nothing fails."""

    def __init__(self, programs: Sequence[Document]) -> None:
        self._database = Database([orjson.dumps(document).decode() for document in programs])
        self._offsets = [0] * _SHARDS
        self._database.offsets = {(shard, _FENCED): 0 for shard in range(_SHARDS)}
        self._pool = Pool(self._database, Faults("none", 0.0), lambda: None)
        self._ledger = Ledger()
        self._executor: Executor[MemberInput, Booked] = Executor(
            self._pool,  # type: ignore[arg-type]
            self._ledger.book,
            optimistic=self._ledger.book_optimistically,
        )
        self._decode = Decoder(self._ledger, _SHARDS)
        self._read = {INTERNAL: 0, POINTS: 0}

    async def open(self) -> None:
        """Read the programs."""
        async with self._pool.acquire() as connection:
            await self._ledger.programs.read(connection)  # type: ignore[arg-type]

    # What comes in

    def received(self, topic: str, member_id: str, event: bytes, now: Micros) -> MemberInput:
        """A record as an input."""
        input_ = self._decode(_record(topic, member_id, event, now))
        assert isinstance(input_, MemberInput), (input_, event)
        return input_

    @staticmethod
    def input_of(member_id: str, array: Sequence[Any], now: Micros) -> MemberInput:
        """An input from its canonical array."""
        input_ = decode_input(msgspec.msgpack.encode(array))
        return MemberInput(member_id, Arrival(digest_of(member_id, input_.source, input_.id), input_, now))

    async def book(self, batch: Sequence[MemberInput]) -> None:
        """Book records together, those of a shard in one transaction."""
        by_shard = defaultdict(list)
        for input_ in batch:
            by_shard[shard_of(input_.member_id, _SHARDS)].append(input_)
        for shard, rest in sorted(by_shard.items()):
            before, self._offsets[shard] = self._offsets[shard], self._offsets[shard] + len(rest)
            fence = Fence([_FENCED], [before], [self._offsets[shard]])
            _check(await self._executor.run(shard, rest, fence=fence))

    async def ask(self, input_: MemberInput) -> tuple[int, dict[str, Any]]:
        """Book a command; the answer's status and body."""
        asked = MemberCommand(input_.member_id, input_.arrival, b"")
        answer = await self._executor.submit(shard_of(input_.member_id, _SHARDS), asked)
        _check([answer])
        return answer.status, orjson.loads(answer.body)  # type: ignore[union-attr]

    async def due(self, until: Micros) -> list[Due]:
        """Accounts on which something is due by an instant, earliest first."""
        found: list[Due] = []
        async with self._pool.acquire() as connection:
            for shard in range(_SHARDS):
                rows = await connection.fetch(SQL["due_members"], shard, until, _ALL)
                found += [Due(row["next_due"], row["member_id"], row["version"]) for row in rows]
        return sorted(found)

    def timer(self, due: Due, now: Micros) -> MemberInput:
        """The timer that the sweeper books for it."""
        return self.input_of(due.member_id, ["timer", _TIMER, f"due:{due.since}:{due.version}", due.since], now)

    # What comes out

    def internal_messages(self, now: Micros) -> list[MemberInput]:
        """The messages between accounts since the last call, as inputs of their receivers."""
        return [self.received(INTERNAL, member_id, event, now) for member_id, event in self._new(INTERNAL)]

    def published_events(self) -> list[tuple[str, bytes]]:
        """The facts published since the last call: members and events."""
        return self._new(POINTS)

    def _new(self, topic: str) -> list[tuple[str, bytes]]:
        rows, self._read[topic] = self._database.outbox[self._read[topic] :], len(self._database.outbox)
        return [(key.decode(), value) for _, on, key, value, _ in rows if on == topic]

    def journals(self) -> dict[str, list[Row]]:
        """The stored rows of each account, in the order of their versions."""
        database, rows = self._database, defaultdict[tuple[int, int], list[Row]](list)
        entries: defaultdict[tuple[int, int, int], list[tuple[int, Entry]]] = defaultdict(list)
        for (shard, number), booked in database.entries.items():
            for _, _, version, line, _, day, debit, credit, points, lot_day, lot_parent, rule, ref, program in booked:
                entry = Entry(debit, credit, points, lot_day, lot_parent, rule, ref, day, program)
                entries[shard, number, version].append((line, entry))
        for shard, digest, at, number, version, now, kind, _, input_, record, head, _ in database.journal.values():
            own = tuple(entry for _, entry in sorted(entries[shard, number, version]))
            rows[shard, number].append(Row(digest, kind, version, at, now, input_, record, head, own))
        return {
            member_id: sorted(rows[shard, number], key=lambda row: row.version)
            for (shard, member_id), number in sorted(database.identities.items(), key=lambda identity: identity[0][1])
        }


class Ladder:
    """Tiering's fold of many members, fed by the facts that the ledger publishes."""

    def __init__(self, programs: Sequence[Document]) -> None:
        self._versions = ProgramVersions(compile_ladder(document) for document in programs)
        self._decode = TieringDecoder(lambda: self._versions, shards=_SHARDS, max_event_age_days=400)
        self._members: defaultdict[str, Member] = defaultdict(Member)

    def follow(self, books: Books, now: Micros) -> list[MemberInput]:
        """The tier facts that answer the ledger's facts since the last call, as inputs of the ledger."""
        inputs: list[MemberInput] = []
        for member_id, event in books.published_events():
            input_ = self._decode(_record(POINTS, member_id, event, now))
            decision = decide(self._versions, self._members[member_id], input_, {}, complete=True) if input_ else None
            if decision is not None:
                decimals = self._versions.at(decision.cause.time).decimals
                facts = (render(member_id, 0, decision, fact, decimals) for fact in decision.facts)
                inputs += [books.received(TIERS, member_id, fact, now) for fact in facts]
        return inputs


def _record(topic: str, member_id: str, event: bytes, now: Micros) -> Record:
    return Record(topic, shard_of(member_id, _SHARDS), 0, now, member_id.encode(), event, _HEADERS)


def _check(outcomes: Sequence[object]) -> None:
    """Fail if an input could not be booked; only a conflict is a result to record."""
    for outcome in outcomes:
        assert not isinstance(outcome, Refused) or outcome.reason is RefusalReason.CONFLICT, outcome
