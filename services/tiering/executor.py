"""The one write path of tiering: a batch of inputs of one shard becomes one transaction.

Lock and read the members, fetch the few settled orders that the fold asks for, fold input by input, then
write what changed: members, settled orders, journal and facts out. A batch of a thousand usual events is
three statements (lock, read, update), and two COPYs where a tier changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from services.kit import outbox
from services.kit.calendar import Micros
from services.kit.kafka import shard_of
from services.kit.outbox import OutboxRow
from services.kit.postgres import Connection
from services.tiering import facts, store
from services.tiering.domain.member import (
    Decision,
    Input,
    Need,
    Qualified,
    decide,
    needs,
    settle,
)
from services.tiering.domain.program import Versions
from services.tiering.store import Opened, Settled


class Outcome(NamedTuple):
    """What an input came to, for who sent a command."""

    decision: Decision | None
    enrolled_at: Micros | None
    """The member's enrolment after the input."""
    tier: str
    """The tier held after the input."""


class Booking:
    """Books batches: what the kit's executor calls inside its transaction."""

    def __init__(self, versions: Callable[[], Versions], shards: int) -> None:
        """`versions` gives the program versions known when a batch begins."""
        self._versions = versions
        self._shards = shards

    async def __call__(self, tx: Connection, shard: int, inputs: Sequence[Input]) -> Sequence[Outcome]:
        """Book inputs in order and answer one outcome each.

        A publisher that hashes keys otherwise puts members on partitions of other shards. What it tells of
        them is booked under their own shard, so that a member has one row wherever it is told of.
        """
        versions = self._versions()
        by_shard: dict[int, list[int]] = {}
        for position, told in enumerate(inputs):
            by_shard.setdefault(shard_of(told.member_id, self._shards), []).append(position)
        if list(by_shard) == [shard]:
            return await _book(tx, versions, shard, inputs)
        outcomes: dict[int, Outcome] = {}
        for own_shard in sorted(by_shard):
            positions = by_shard[own_shard]
            booked = await _book(tx, versions, own_shard, [inputs[position] for position in positions])
            outcomes.update(zip(positions, booked, strict=True))
        return [outcomes[position] for position in range(len(inputs))]


async def _book(tx: Connection, versions: Versions, shard: int, inputs: Sequence[Input]) -> list[Outcome]:
    members = await store.open_members(tx, shard, sorted({told.member_id for told in inputs}))
    settled, whole = await _fetch(tx, versions, shard, inputs, members)
    outcomes: list[Outcome] = []
    decisions: list[tuple[str, Decision]] = []
    for told in inputs:
        member_id = told.member_id
        member = members[member_id].member
        decision = decide(versions, member, told, settled.get(member_id, {}), whole=member_id in whole)
        if decision is not None:
            decisions.append((member_id, decision))
        outcomes.append(Outcome(decision, member.enrolled_at, member.position.tier))
    await store.save_settled(tx, shard, _leaving(versions, members, settled))
    await store.save_members(tx, shard, members)
    await store.journal(tx, shard, decisions)
    await _tell(tx, versions, shard, decisions)
    return outcomes


async def _fetch(
    tx: Connection, versions: Versions, shard: int, inputs: Sequence[Input], members: dict[str, Opened]
) -> tuple[Settled, set[str]]:
    """The settled orders that the batch needs, and the members of whom that is all.

    Asked once for the whole batch, before the fold. An input earlier in the batch can only replace an order
    by one that asked for all itself or that says the same of the settled past, so this is enough.
    """
    asked = [
        (told.member_id, told.key)
        for told in inputs
        if isinstance(told, Qualified) and needs(versions, members[told.member_id].member, told, None) == Need.ORDER
    ]
    settled = await store.settled_orders(tx, shard, asked) if asked else {}
    whole = {
        told.member_id
        for told in inputs
        if needs(versions, members[told.member_id].member, told, settled.get(told.member_id, {})) == Need.ALL
    }
    if whole:
        settled |= await store.all_settled_orders(tx, shard, sorted(whole))
    return settled, whole


def _leaving(versions: Versions, members: dict[str, Opened], settled: Settled) -> Settled:
    """The orders that leave their members' states and are not stored in that form already."""
    leaving: Settled = {}
    for member_id, opened in members.items():
        stored = settled.get(member_id, {})
        gone = settle(opened.member, versions)
        new = {key: order for key, order in gone.items() if stored.get(key) != order}
        if new:
            leaving[member_id] = new
    return leaving


async def _tell(tx: Connection, versions: Versions, shard: int, decisions: Iterable[tuple[str, Decision]]) -> None:
    # The row goes by the member's shard: its relay sends a member's facts in the order they were decided.
    rows = [
        OutboxRow(
            shard,
            facts.TOPIC,
            member_id.encode(),
            facts.render(member_id, decision, fact, versions.at(decision.cause.time).decimals),
        )
        for member_id, decision in decisions
        for fact in decision.facts
    ]
    if rows:
        await outbox.append(tx, rows)
