"""The one write path of tiering: a batch of inputs of one shard becomes one transaction.

Lock and read the members, fetch the few settled orders that the fold needs, fold input by input, then write what
changed: members, settled orders, journal and facts out. A batch of a thousand usual events is four statements
(add, lock, read, update), and two COPYs where a tier changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.kit import outbox
from services.kit.calendar import Micros
from services.kit.cloudevent import HEADERS
from services.kit.kafka import Shard, shard_of
from services.kit.outbox import OutboxRow
from services.kit.postgres import Connection
from services.tiering import store
from services.tiering.domain.member import (
    Decision,
    Input,
    Need,
    Order,
    OrderKey,
    TimelineReceived,
    decide,
    needs,
    refuses,
    settle,
)
from services.tiering.domain.program import ProgramVersions
from services.tiering.events import outbound
from services.tiering.store import Opened, Settled


class Outcome(NamedTuple):
    """What booking an input came to, for the sender of a command."""

    decision: Decision | None
    enrolled_at: Micros | None
    """The member's enrolment after the input."""
    tier: str
    """The tier held after the input."""
    is_refused: bool = False
    """Whether it was refused because its member is erased (Z1)."""


class Booking:
    """Books batches: what the kit's executor calls inside its transaction."""

    def __init__(self, versions: Callable[[], ProgramVersions], shards: int) -> None:
        """`versions` gives the program versions for a batch, or raises what makes it wait."""
        self._versions = versions
        self._shards = shards

    async def __call__(self, tx: Connection, shard: Shard, inputs: Sequence[Input]) -> Sequence[Outcome]:
        """Book inputs in order and answer one outcome each.

        A publisher that hashes keys in another way puts members on partitions of other shards. Each input is
        booked under its member's own shard, so that a member has one row whatever partition the input came by.
        """
        versions = self._versions()
        by_shard: dict[Shard, list[int]] = {}
        for index, input_ in enumerate(inputs):
            by_shard.setdefault(shard_of(input_.member_id, self._shards), []).append(index)
        if list(by_shard) == [shard]:
            return await _book(tx, versions, shard, inputs)
        outcomes: dict[int, Outcome] = {}
        for own_shard in sorted(by_shard):
            indexes = by_shard[own_shard]
            booked = await _book(tx, versions, own_shard, [inputs[index] for index in indexes])
            outcomes.update(zip(indexes, booked, strict=True))
        return [outcomes[index] for index in range(len(inputs))]


class _LockedMember:
    """A locked member during a batch: the state, and what is known of the settled orders outside of it."""

    def __init__(self, opened: Opened) -> None:
        self.member = opened.member
        self.settled: dict[OrderKey, Order] = {}
        self.looked_up: set[OrderKey] = set()
        """Orders that were looked for in the table of settled ones, found or not."""
        self.complete = opened.member.base.at is None
        """Whether `settled` is all there is; without a base nothing has been settled yet."""
        self.newly_settled: dict[OrderKey, Order] = {}
        """What this batch has to write to the table of settled orders."""

    def needs(self, versions: ProgramVersions, input_: Input) -> Need:
        """What has to be fetched before this input can be decided."""
        if self.complete:
            return Need.NOTHING
        known = not isinstance(input_, TimelineReceived) or input_.key in self.looked_up or input_.key in self.settled
        return needs(versions, self.member, input_, self.settled if known else None)

    def decide(self, versions: ProgramVersions, input_: Input) -> Decision | None:
        """Book one input, and settle the orders for which the state has no room."""
        decision = decide(versions, self.member, input_, self.settled, complete=self.complete)
        for key, order in settle(self.member, versions).items():
            if self.settled.get(key) != order:
                self.settled[key] = self.newly_settled[key] = order
        return decision


async def _book(tx: Connection, versions: ProgramVersions, shard: Shard, inputs: Sequence[Input]) -> list[Outcome]:
    opened = await store.open_members(tx, shard, sorted({input_.member_id for input_ in inputs}))
    members = {member_id: _LockedMember(found) for member_id, found in opened.items()}
    await _fetch_settled(tx, versions, shard, inputs, members)
    outcomes: list[Outcome] = []
    decisions: list[tuple[str, Decision]] = []
    for input_ in inputs:
        locked = members[input_.member_id]
        if locked.needs(versions, input_):
            # An earlier input of this batch has settled an order that this one changes.
            await _fetch_settled(tx, versions, shard, (input_,), members)
        is_refused = refuses(locked.member, input_)
        decision = locked.decide(versions, input_)
        if decision is not None:
            decisions.append((input_.member_id, decision))
        outcomes.append(Outcome(decision, locked.member.enrolled_at, locked.member.position.tier, is_refused))
    newly_settled = {member_id: locked.newly_settled for member_id, locked in members.items() if locked.newly_settled}
    await store.save_settled(tx, shard, newly_settled)
    await store.save_members(tx, shard, opened)
    await store.journal(tx, shard, decisions)
    await _publish(tx, versions, shard, next(iter(opened.values())).epoch, decisions)
    return outcomes


async def _fetch_settled(
    tx: Connection,
    versions: ProgramVersions,
    shard: Shard,
    inputs: Sequence[Input],
    members: Mapping[str, _LockedMember],
) -> None:
    """Fetch the settled orders that inputs need: first the orders they name, then, where that is not enough, all."""
    named = [
        (input_.member_id, input_.key)
        for input_ in inputs
        if isinstance(input_, TimelineReceived) and members[input_.member_id].needs(versions, input_) == Need.ORDER
    ]
    if named:
        fetched = await store.settled_orders(tx, shard, named)
        for member_id, key in named:
            members[member_id].looked_up.add(key)
        _add_fetched(members, fetched)
    need_all = {input_.member_id for input_ in inputs if members[input_.member_id].needs(versions, input_) == Need.ALL}
    if need_all:
        _add_fetched(members, await store.all_settled_orders(tx, shard, sorted(need_all)))
        for member_id in need_all:
            members[member_id].complete = True


def _add_fetched(members: Mapping[str, _LockedMember], fetched: Settled) -> None:
    """Add stored orders to those known; an order that was settled in this batch is newer than its stored version."""
    for member_id, orders in fetched.items():
        locked = members[member_id]
        locked.settled = {**orders, **locked.settled}


async def _publish(
    tx: Connection, versions: ProgramVersions, shard: Shard, epoch: int, decisions: Iterable[tuple[str, Decision]]
) -> None:
    # The row goes by the member's shard: its relay sends a member's facts in the order they were decided.
    rows = [
        OutboxRow(
            shard,
            outbound.TOPIC,
            member_id.encode(),
            outbound.render(member_id, epoch, decision, fact, versions.at(decision.cause.time).decimals),
            HEADERS,
        )
        for member_id, decision in decisions
        for fact in decision.facts
    ]
    if rows:
        await outbox.append(tx, rows)
