"""The one write path: a batch of one shard's inputs becomes a few array-shaped statements of one transaction.

lock accounts → what is journalled already → what the fold needs → fold, member by member → write. The transaction,
its fence and its retries are the kit's (`services.kit.executor`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from schemas.events import Reason, Refused
from services.kit import metrics
from services.kit.calendar import Micros
from services.kit.faults import fault
from services.kit.outbox import OutboxRow, append
from services.kit.postgres import Connection
from services.ledger import store
from services.ledger.announcement import announce
from services.ledger.domain.batch import Arrival, Fold, fold_member
from services.ledger.domain.inputs import (
    ActivityRecorded,
    AnyInput,
    Cancelled,
    Completed,
    Paid,
    ProfileTold,
    Refunded,
    ReviewPublished,
    ReviewRemoved,
    Shipped,
    SignedIn,
    TierTold,
    encode_input,
)
from services.ledger.domain.member import Loaded, Missing, Needs
from services.ledger.domain.outcome import Outcome
from services.ledger.domain.program import Programs

INTERNAL: Final = "loyalty.internal.v1"
FOLD_SLICE: Final = 200
"""Inputs folded between two yields to the event loop: some 10 ms, so that reads and heartbeats go on."""
_log = structlog.get_logger("ledger")


class Told(msgspec.Struct, frozen=True):
    """An input with the member it is told of."""

    member_id: str
    arrival: Arrival


class Misplaced(msgspec.Struct, frozen=True):
    """A record that its publisher put on another shard's partition: sent on, keyed right, and counted."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


class Known(msgspec.Struct, frozen=True):
    """The same event again: nothing happens (O1)."""


Booked = Outcome | Misplaced | Known | None


class Ledger:
    """Books batches. It asks in each whether there is a newer program than it knows."""

    def __init__(self) -> None:
        self.programs = store.KnownPrograms()

    async def book(self, tx: Connection, shard: int, inputs: Sequence[Told | Misplaced]) -> Sequence[Booked | Refused]:
        """Book inputs of one shard in the given transaction; one outcome each, in order."""
        outcomes: list[Booked | Refused] = [None] * len(inputs)
        outbox: list[OutboxRow] = []
        members: dict[str, list[tuple[int, Arrival]]] = {}
        for index, given in enumerate(inputs):
            if isinstance(given, Misplaced):
                outbox.append(OutboxRow(shard, INTERNAL, given.key, given.value, given.headers))
                outcomes[index] = given
            else:
                members.setdefault(given.member_id, []).append((index, given.arrival))
        if members:
            rows = await store.lock_accounts(tx, shard, sorted(members))
            programs = await self.programs.up_to(next(iter(rows.values()))["newest_program"], tx)
            folds = await self._fold(tx, shard, programs, rows, members, outcomes)
            for fold in folds:
                member_id = fold.member.account.member_id
                for row in fold.rows:
                    outbox += announce(shard, member_id, row, programs)
            fault("ledger.folded")
            await store.write(tx, shard, folds)
            fault("ledger.written")
        await append(tx, outbox)
        _count(outcomes)
        return outcomes

    async def _fold(
        self,
        tx: Connection,
        shard: int,
        programs: Programs,
        rows: dict[str, asyncpg.Record],
        members: dict[str, list[tuple[int, Arrival]]],
        outcomes: list[Booked | Refused],
    ) -> list[Fold]:
        known = await store.journalled(tx, shard, (arrival for told in members.values() for _, arrival in told))
        work = [_Work(rows[member_id], _without_known(told, known, outcomes)) for member_id, told in members.items()]
        waiting = work = [each for each in work if each.arrivals]
        await store.load(tx, shard, [(each.account, each.loaded, each.sure_needs()) for each in work])
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
            await store.load(tx, shard, [(each.account, each.loaded, needs) for each, needs in missing])
            waiting = [each for each, _ in missing]
        for each in work:
            each.answer(outcomes)
        return [each.done for each in work if each.has_changed]


def _count(outcomes: Sequence[Booked | Refused]) -> None:
    """Count outcomes and alarms. A batch that has to run again counts again: these are signs, not books."""
    kinds: Counter[str] = Counter()
    for outcome in outcomes:
        match outcome:
            case Outcome():
                kinds[outcome.kind] += 1
                for alarm in outcome.alarms:
                    metrics.count("alarms_total", kind=alarm)
            case Known():
                kinds["known"] += 1
            case Misplaced():
                kinds["forwarded"] += 1
            case _:
                pass
    for kind, number in kinds.items():
        metrics.count("outcomes_total", number, outcome=kind)


def _without_known(
    told: list[tuple[int, Arrival]],
    known: dict[tuple[bytes, Micros], bytes],
    outcomes: list[Booked | Refused],
) -> list[tuple[int, Arrival]]:
    """Answer the events that are booked already, or twice in this batch; the rest is new (O1)."""
    new: dict[tuple[bytes, Micros], tuple[int, Arrival]] = {}
    for index, arrival in told:
        key = (arrival.digest, arrival.given.at)
        before = known.get(key)
        if before is None and key in new:
            before = encode_input(new[key][1].given)
        if before is None:
            new[key] = (index, arrival)
        elif before == encode_input(arrival.given):
            outcomes[index] = Known()
        else:
            metrics.count("alarms_total", kind="conflict")
            outcomes[index] = Refused(Reason.CONFLICT, "data", "this event was told before with another payload")
    return list(new.values())


class _Work:
    """One member of a batch: what was read, what arrived, and the fold once it is done."""

    __slots__ = ("_row", "account", "arrivals", "done", "loaded")

    def __init__(self, row: asyncpg.Record, arrivals: list[tuple[int, Arrival]]) -> None:
        self._row = row
        self.account: int = row["account"]
        self.arrivals = arrivals
        self.loaded = Loaded()
        self.done: Fold

    def sure_needs(self) -> Needs:
        """What these inputs surely look at; nothing exists yet of an account without a version."""
        needs = Needs()
        if self._row["version"] == 0:
            self.loaded = FRESH
            return needs
        for _, arrival in self.arrivals:
            given = arrival.given
            if isinstance(given, Paid | Shipped | Completed | Refunded | Cancelled):
                needs.orders.add(given.order)
            elif isinstance(given, TierTold):
                if given.history:
                    # Histories begin with the first tier: what was paid after it is what they can change.
                    first = given.history[0][0]
                    needs.paid_after = first if needs.paid_after is None else min(first, needs.paid_after)
            elif (key := _fact_key(given)) is not None:
                needs.facts.add(key)
        now = max(arrival.now for _, arrival in self.arrivals)
        if (due := self._row["next_due"]) is not None and due <= now:
            needs.due_until, needs.spendable = now, True
        return needs

    def fold(self, programs: Programs) -> None:
        """Fold this member's arrivals; raises Missing."""
        self.done = fold_member(
            programs, lambda: store.account_of(self._row), self.loaded, [arrival for _, arrival in self.arrivals]
        )

    @property
    def has_changed(self) -> bool:
        """Whether there is anything to write: a timer that found nothing still corrects `next_due`."""
        return bool(self.done.rows) or self.done.member.account.next_due != self._row["next_due"]

    def answer(self, outcomes: list[Booked | Refused]) -> None:
        """Put the outcomes where the batch's callers look for them."""
        for (index, arrival), outcome in zip(self.arrivals, self.done.outcomes, strict=True):
            if outcome is not None and outcome.kind == "failed":
                _log.error("an input failed", input=type(arrival.given).__name__, why=outcome.detail)
                outcomes[index] = Refused(Reason.FAILED, None, outcome.detail)
            else:
                outcomes[index] = outcome


class _Nothing(dict[Any, Any]):
    """A mapping in which every key is known not to exist."""

    def __missing__(self, key: object) -> None:
        return None

    def __contains__(self, key: object) -> bool:
        return True


class _NoLots(dict[Any, Any]):
    """A mapping in which every family of lots is known to be empty."""

    def get(self, key: object, default: object = None) -> list[object]:
        """No lot of any family."""
        return []


FRESH: Final = Loaded(
    orders=_Nothing(),
    facts=_Nothing(),
    spendable=[],
    families=_NoLots(),
    due_until=2**63 - 1,
    successes=[],
    paid_after=0,
)
"""What is read of an account that has no version yet: nothing, without asking."""


def _fact_key(given: AnyInput) -> str | None:
    match given:
        case ReviewPublished(review_id=review) | ReviewRemoved(review_id=review):
            return f"review:{review}"
        case ActivityRecorded():
            return f"{given.activity}:{given.activity_id}"
        case SignedIn():
            return "sign-ins"
        case ProfileTold():
            return "profile"
        case _:
            return None
